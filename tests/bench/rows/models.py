"""How fast a model gets from an object store to this machine, beside raw ranged reads (tests/bench/model_load.py)."""

import argparse
import pathlib
import tempfile

from tests.bench import model_load
from tests.bench.rounds import Finding
from tests.bench.rows.throughput import Options


def load(options: Options) -> list[Finding]:
    told = argparse.Namespace(mib=2048, connections=4, rate=0, pause=0.0)
    rate, cpu, again = [], [], []
    with tempfile.TemporaryDirectory(prefix="cortex-bench-") as folder:
        bench = model_load.Bench(pathlib.Path(folder), told)
        try:
            for _ in range(min(options.rounds, 5)):
                raw = bench.raw()
                first, second = bench.ours()
                rate.append(raw[0] / first[0])
                cpu.append(first[1] / raw[1])
                again.append(second[0] / first[0])
        finally:
            bench.server.terminate()
            bench.server.wait()
    return [
        Finding("model load, 2 GB: GB/s / raw ranged GET", ">= 0.90", "", "0.95", rate),
        Finding("model load, 2 GB: CPU seconds / raw", "<= 1.5", "", "1.3", cpu),
        Finding("second load on the node / first", "<= 0.05", "", "0.01", again),
    ]
