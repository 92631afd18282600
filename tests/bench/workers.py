"""What worker processes cost: `python -m tests.bench.workers [--rounds 5] [--gigabytes 1]`.

restart: seconds from SIGKILL of the only worker to its successor's first answer / seconds of the first start, heavy
imports preloaded; beside it the same with an interpreter per worker.
memory: PSS of the whole replica (front, fork server, four workers that have touched every page) / size of the weights.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import signal
import statistics
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from tests.bench import replicas

WORKERS = 4
STARTS = {"fork-server": "WORKER_START_FORK_SERVER", "spawn": "WORKER_START_SPAWN"}
SHARING = {
    "fork-server, mapped": ("WORKER_START_FORK_SERVER", "map"),
    "fork-loaded, read": ("WORKER_START_FORK_LOADED", "read"),
}


def restart(start: str) -> float:
    """The ratio of one round."""
    with replicas.running("imports", {"worker": {"start": STARTS[start]}}) as replica:
        replica.wait(lambda: replica.state["state"] == "READY")
        first = time.monotonic() - replica.born
        victim = replica.ask()
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        replica.wait(lambda: replica.workers and victim not in replica.workers)
        assert replica.ask() != victim
        return (time.monotonic() - killed) / first


def memory(kind: str, path: pathlib.Path) -> float:
    """The ratio, once every worker has touched every page."""
    start, how = SHARING[kind]
    predictor: Mapping[str, Any] = {
        "processesPerReplica": WORKERS,
        "worker": {"start": start},
        "config": {"path": str(path), "how": how},
    }
    with replicas.running("weights", predictor) as replica:
        replica.wait(lambda: len(replica.workers) == WORKERS)
        touched: set[int] = set()
        # The least loaded worker is next, so those that have answered have to be kept busy.
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            while len(touched) < WORKERS:
                touched |= {answer["pid"] for answer in pool.map(lambda _: replica.ask(), range(WORKERS))}
        return replica.pss() / path.stat().st_size


def write_weights(path: pathlib.Path, gigabytes: float) -> None:
    """A safetensors file of float32 zeros and ones."""
    tensors, size = 8, int(gigabytes * 1e9) // 8 // 4096 * 4096
    header = {
        f"layer.{n}": {"dtype": "F32", "shape": [size // 4], "data_offsets": [n * size, (n + 1) * size]}
        for n in range(tensors)
    }
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 4096)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(tensors):
            file.write(b"\0\0\x80\x3f" * (size // 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    options = parser.parse_args()
    restart("fork-server")  # compiles bytecode and fills the page cache
    ratios: dict[str, list[float]] = {start: [] for start in STARTS}
    for _ in range(options.rounds):
        for start, found in ratios.items():
            found.append(restart(start))
    for start, found in ratios.items():
        print(f"worker SIGKILL -> serving again / first start, {start}: {describe(found)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cortex-bench-") as folder:
        path = pathlib.Path(folder, "weights.safetensors")
        write_weights(path, options.gigabytes)
        for kind in SHARING:
            print(f"PSS of {WORKERS} workers / weights, {kind}: {memory(kind, path):.3f}", flush=True)


def describe(values: list[float]) -> str:
    return f"median {statistics.median(values):.3f} of {len(values)} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
