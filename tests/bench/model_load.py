"""`python -m tests.bench.model_load`: how fast and how cheaply a model gets from an object store to a replica.

Ours beside the ceiling (tests/bench/ranged.py), and beside obstore where that is installed, in interleaved rounds from
one server; then the second load on the same machine. `--rate` and `--pause` make the server as slow as S3 is.
"""

import argparse
import asyncio
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable

from runtime.models import layout
from runtime.models.catalog import Revision
from runtime.models.node_store import NodeStore
from runtime.models.s3 import S3Source
from tests.fakes import object_store

Measured = tuple[float, float]  # seconds of wall, of CPU


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(run: Callable[[], object]) -> Measured:
    used, own, began = children(), time.process_time(), time.perf_counter()
    run()
    return time.perf_counter() - began, children() - used + time.process_time() - own


class Bench:
    def __init__(self, folder: pathlib.Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.size = options.mib << 20
        self.connections = options.connections
        os.environ.update(self.serve(options))
        self.source = S3Source("s3://bucket/m", os.environ)

    def serve(self, options: argparse.Namespace) -> dict[str, str]:
        """The store runs in a process of its own; its time is nobody's."""
        path = self.folder / "objects/bucket/m/weights.bin"
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            for _ in range(options.mib):
                file.write(os.urandom(1 << 20))
        command = [sys.executable, "-m", "tests.fakes.object_store", str(self.folder / "objects"), "0"]
        command += [str(options.rate << 20), str(options.pause / 1000)]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None
        self.url = self.server.stdout.readline().strip()
        return {**object_store.ENVIRON, "AWS_ENDPOINT_URL": self.url}

    def level(self) -> None:
        """The same free pages for everybody: memory that this machine has not had in hand yet costs far more."""
        scratch = self.folder / "scratch"
        with scratch.open("wb") as file:
            for _ in range(self.size >> 20):
                file.write(bytes(1 << 20))
        scratch.unlink()

    def raw(self) -> Measured:
        self.level()
        target = self.folder / "raw.bin"
        at = urllib.parse.urlsplit(self.url)
        command = [sys.executable, "-m", "tests.bench.ranged", str(at.hostname), str(at.port)]
        command += ["/bucket/m/weights.bin", str(self.size), str(target), str(self.connections)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        target.unlink()
        wall, cpu = map(float, done.stdout.split())
        return wall, cpu

    def obstore(self) -> Measured:
        self.level()
        target = self.folder / "obstore.bin"
        command = [sys.executable, "-c", OBSTORE, self.url, str(target)]
        measured = timed(lambda: subprocess.check_call(command))
        target.unlink()
        return measured

    def ours(self) -> tuple[Measured, Measured]:
        """The first load, whole: process, listing of nothing but the object's sum, parts, links. And the second."""
        cache = self.folder / "cache"
        self.level()

        async def load() -> tuple[float, float]:
            content = layout.versions(self.source.files(), "python")["1"]
            store = NodeStore(cache, 0, os.environ)
            began = time.perf_counter()
            await store.fetch(Revision("m", "1", content, self.source, content.digest), lambda text: None)
            first = time.perf_counter() - began
            again = NodeStore(cache, 0, os.environ)
            began = time.perf_counter()
            await again.fetch(Revision("m", "1", content, self.source, content.digest), lambda text: None)
            second = time.perf_counter() - began
            while store._tasks:
                await asyncio.sleep(0.01)
            return first, second

        used, own = children(), time.process_time()
        first, second = asyncio.run(load())
        cpu = children() - used + time.process_time() - own
        shutil.rmtree(cache)
        return (first, cpu), (second, 0.0)


OBSTORE = """
import asyncio, os, sys
from obstore.store import S3Store
store = S3Store("bucket", endpoint=sys.argv[1], client_options={"allow_http": True})
async def main():
    size = (await store.head_async("m/weights.bin"))["size"]
    fd = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(fd, 0, size)
    limit = asyncio.Semaphore(8)
    async def part(at):
        async with limit:
            data = await store.get_range_async("m/weights.bin", start=at, end=min(at + (32 << 20), size))
            os.pwrite(fd, data, at)
    await asyncio.gather(*(part(at) for at in range(0, size, 32 << 20)))
asyncio.run(main())
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=4, help="of the ceiling")
    parser.add_argument("--rate", type=int, default=0, help="MiB/s of one connection; 0: all there is")
    parser.add_argument("--pause", type=float, default=0, help="ms before the first byte")
    parser.add_argument("--folder", type=pathlib.Path, help="where the files go (default: a temporary folder)")
    options = parser.parse_args()
    rounds: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="cortex-bench-") as name:
        bench = Bench(pathlib.Path(name), options)
        try:
            for _ in range(options.rounds):
                rounds.setdefault("raw", []).append(bench.raw())
                first, second = bench.ours()
                rounds.setdefault("ours", []).append(first)
                rounds.setdefault("second", []).append(second)
                if _has_obstore():
                    rounds.setdefault("obstore", []).append(bench.obstore())
        finally:
            bench.server.terminate()
            bench.server.wait()
    return report(rounds, options)


def _has_obstore() -> bool:
    import importlib.util

    return importlib.util.find_spec("obstore") is not None


def report(rounds: dict[str, list[Measured]], options: argparse.Namespace) -> int:
    gigabytes = (options.mib << 20) / 1e9
    ceiling = options.rate * (1 << 20) / 1e9 * options.connections or float("inf")
    print(f"{gigabytes:.2f} GB, {options.rounds} rounds, ceiling by rate {ceiling:.2f} GB/s; median (least to most)")
    for name, measured in rounds.items():
        rates = sorted(min(gigabytes / wall, 999) for wall, _ in measured)
        cpu = sorted(cpu / gigabytes for _, cpu in measured)
        print(
            f"{name:>8}: {statistics.median(rates):6.2f} GB/s ({rates[0]:.2f} to {rates[-1]:.2f}), "
            f"{statistics.median(cpu):.2f} CPU s/GB ({cpu[0]:.2f} to {cpu[-1]:.2f})"
        )
    pairs = list(zip(rounds["raw"], rounds["ours"], rounds["second"], strict=True))
    wall = statistics.median(max(raw[0], gigabytes / ceiling) / ours[0] for raw, ours, _ in pairs)
    cpu_ratio = statistics.median(ours[1] / raw[1] for raw, ours, _ in pairs)
    second = statistics.median(second[0] / ours[0] for _, ours, second in pairs)
    print(f"load: GB/s / min(raw, connections x rate) {wall:.2f} (must be >= 0.90)")
    print(f"load: CPU s per GB / raw {cpu_ratio:.2f} (must be <= 1.5)")
    print(f"second load / first {second:.4f} (must be <= 0.05)")
    return 0 if wall >= 0.9 and cpu_ratio <= 1.5 and second <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
