"""`python -m tests.bench.batching`: server-side batching, deadlines, overload and slow readers, as ratios in one run.

    steps      a fixed 10 ms step for up to 32 calls, 64 clients: answers per second / 3200
    alone      one client: p50 with batching / without
    stalled    predictions per second beside a reader who takes nothing / without one
    deadlines  calls queued behind a 300 ms predict: answer time minus deadline
    overload   five times the capacity: answers / capacity, and how fast the others are refused
    iris       64 clients: answers per second with batching / without (--python: one with scikit-learn)

Rounds are interleaved and medians printed. Needs wrk.
"""

import argparse
import asyncio
import contextlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from tests.runtime.replica import Replica, running, wait_for

STEP = """
import time
class PythonPredictor:
    def predict(self, payload):
        time.sleep(0.01)
        return [{"y": 1}] * len(payload)
"""
NOOP = """
class PythonPredictor:
    def predict(self, payload):
        return {"ok": True}
"""
NOOPS = NOOP.replace('{"ok": True}', '[{"ok": True}] * len(payload)')
STREAM = """
import time
class PythonPredictor:
    def predict(self, payload):
        if payload.get("stream"):
            return self.endless()
        time.sleep(0.002)
        return {"ok": True}

    def endless(self):
        while True:
            yield b"y" * 65536
"""
SLOW = """
import time
class PythonPredictor:
    def predict(self, payload):
        time.sleep(payload["seconds"])
        return {"ok": True}
"""
IRIS = """
import pathlib, joblib, numpy
LABELS = ["setosa", "versicolor", "virginica"]
class PythonPredictor:
    def __init__(self, config):
        self.model = joblib.load(config["model"])

    def predict(self, payload):
        row = numpy.asarray([payload["x"]], dtype=numpy.float64)
        return {"label": LABELS[int(self.model.predict(row)[0])]}
"""
IRISES = IRIS.replace("[payload[", "[each[").replace('["x"]]', '["x"] for each in payload]').replace(
    'return {"label": LABELS[int(self.model.predict(row)[0])]}',
    'return [{"label": LABELS[int(index)]} for index in self.model.predict(row)]',
)  # fmt: skip
BATCHING = {"serverSideBatching": {"maxBatchSize": 32, "batchInterval": "0.05s"}}
BODY = '{"x":[5.1,3.5,1.4,0.2]}'


def load(replica: Replica, clients: int, seconds: float) -> tuple[float, float]:
    """Answers per second and p50 in microseconds, by wrk."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method, wrk.body = 'POST', '{BODY}'\nwrk.headers['content-type'] = 'application/json'\n")
        script.write("done = function(s, l, r) io.write(string.format('N %d %d %d\\n', s.requests, s.duration, ")
        script.write("l:percentile(50))) io.write(string.format('BAD %d\\n', s.errors.status)) end\n")
        script.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "-s", script.name]
        told = subprocess.run(
            [*command, f"http://127.0.0.1:{replica.http_port}/"], check=True, capture_output=True, text=True
        ).stdout
    found = re.search(r"N (\d+) (\d+) (\d+)\nBAD (\d+)", told)
    assert found is not None and found[4] == "0", told
    return int(found[1]) / (int(found[2]) * 1e-6), float(found[3])


@contextlib.contextmanager
def served(source: str, **spec: object) -> Iterator[Replica]:
    with tempfile.TemporaryDirectory() as folder, running(pathlib.Path(folder), source, ready=False, **spec) as replica:  # type: ignore[arg-type]
        wait_for(lambda: replica.state["state"] == "READY", 120.0)
        load(replica, 8, 1) if "seconds" not in source else None
        yield replica


def steps(options: argparse.Namespace) -> None:
    with served(STEP, predictor=BATCHING) as replica:
        rates = [load(replica, 64, options.seconds)[0] for _ in range(options.rounds)]
        print(f"steps      {statistics.median(rates) / 3200:.3f} of ideal  (each: {_list(rates, 3200)})")


def alone(options: argparse.Namespace) -> None:
    with served(NOOP) as off, served(NOOPS, predictor=BATCHING) as on:
        pairs = [(load(on, 1, options.seconds)[1], load(off, 1, options.seconds)[1]) for _ in range(options.rounds)]
    ratios = [a / b for a, b in pairs]
    print(f"alone      p50 on / off {statistics.median(ratios):.3f}  (us: {pairs})")


def stalled(options: argparse.Namespace) -> None:
    ratios = []
    with served(STREAM) as replica:
        for _ in range(options.rounds):
            free, _ = load(replica, 8, options.seconds)
            with replica.connect() as sock:
                body = b'{"stream": 1}'
                head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                sock.sendall(head % len(body) + body)
                beside, _ = load(replica, 8, options.seconds)
            ratios.append(beside / free)
    print(f"stalled    rate beside a stalled reader / alone {statistics.median(ratios):.3f}  ({_list(ratios)})")


def deadlines(options: argparse.Namespace) -> None:
    late: list[float] = []
    with served(SLOW) as replica:
        for _ in range(options.rounds):
            late += asyncio.run(_queued(replica.http_port))
    late.sort()
    p99 = late[int(len(late) * 0.99) - 1]
    print(f"deadlines  late by p50 {late[len(late) // 2] * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms, of {len(late)} calls")


async def _queued(port: int) -> list[float]:
    """Lateness of calls with deadlines of 20 to 180 ms, all behind one that takes 300 ms."""
    first = asyncio.create_task(_ask(port, '{"seconds": 0.3}', 0))
    await asyncio.sleep(0.01)
    asked = [20 + 160 * n // 40 for n in range(40)]
    told = await asyncio.gather(*(_ask(port, '{"seconds": 0}', millis) for millis in asked))
    assert (await first)[0] == 200 and all(status == 504 for status, _ in told)
    return [seconds - millis / 1e3 for (_, seconds), millis in zip(told, asked, strict=True)]


async def _ask(port: int, body: str, millis: int) -> tuple[int, float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    limit = f"x-request-timeout-ms: {millis}\r\n" if millis else ""
    head = f"POST / HTTP/1.1\r\nhost: x\r\n{limit}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    began = time.perf_counter()
    writer.write(head.encode() + body.encode())
    status = int((await reader.readline()).split()[1])
    seconds = time.perf_counter() - began
    writer.close()
    return status, seconds


def overload(options: argparse.Namespace) -> None:
    """A worker that manages 100 a second is asked 500 times a second; its queue holds 20."""
    with served(SLOW, spec={"autoscaling": {"maxReplicaConcurrency": 20}}) as replica:
        told = asyncio.run(_flood(replica.http_port, options.seconds))
    good = [seconds for status, seconds in told if status == 200]
    refused = sorted(seconds for status, seconds in told if status == 503)
    assert len(good) + len(refused) == len(told)
    ratio = len(good) / (options.seconds * 100)
    p99 = refused[int(len(refused) * 0.99) - 1] * 1e3
    print(f"overload   {ratio:.3f} of capacity; {len(refused)} refused, p99 {p99:.1f} ms")


async def _flood(port: int, seconds: float) -> list[tuple[int, float]]:
    tasks, began = [], time.monotonic()
    for n in range(int(seconds * 500)):
        await asyncio.sleep(max(0.0, began + n / 500 - time.monotonic()))
        tasks.append(asyncio.create_task(_ask(port, '{"seconds": 0.01}', 0)))
    return list(await asyncio.gather(*tasks))


def iris(options: argparse.Namespace) -> None:
    config = {"python": options.python}
    model = {"config": {"model": str(options.model)}, "env": {"OMP_NUM_THREADS": "1"}}
    with (
        served(IRIS, predictor=model, config=config) as off,
        served(IRISES, predictor={**model, **BATCHING}, config=config) as on,
    ):
        pairs = [(load(on, 64, options.seconds)[0], load(off, 64, options.seconds)[0]) for _ in range(options.rounds)]
        told = on.client.get("/info").json()["batching"]
    print(f"iris       batched / not {statistics.median(a / b for a, b in pairs):.2f}  ({pairs}) {told['sizes']}")


def _list(values: list[float], unit: float = 1.0) -> str:
    return ", ".join(f"{value / unit:.3f}" for value in values)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    part.__name__: part for part in (steps, alone, stalled, deadlines, overload, iris)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the iris predictor")
    parser.add_argument(
        "--model", type=pathlib.Path, default=pathlib.Path.home() / ".cache/cortex-bench/state/iris.joblib"
    )
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed (Debian: apt-get install wrk)")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name in options.parts or PARTS:
        PARTS[name](options)


if __name__ == "__main__":
    main()
