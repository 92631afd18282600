"""python -m tests.fuzz [--seconds 600] [--seed N]: a nightly campaign. Exit status 1 when a promise was broken."""

import argparse
import pathlib
import sys
import tempfile
import time

from tests.conformance import oip_model
from tests.fuzz import campaign
from tests.runtime import replica

_GROWTH = 32 * 2**20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:.0f} s", flush=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        replica.running(pathlib.Path(folder), oip_model.TEXT, config={"grpcAddress": "free"}) as served,
    ):
        workers, end = served.worker_pids, time.monotonic() + options.seconds
        report = campaign.Campaign(served, options.seed).run(lambda sent: time.monotonic() < end)
        survived = served.process.poll() is None and served.worker_pids == workers
    print(campaign.told(report))
    grown = report.memory_after - report.memory_before
    slower = campaign.percentile(report.noisy, 99) / campaign.percentile(report.quiet, 99)
    broken = {
        "a process died": not survived,
        "a mistake of the caller was answered as one of ours": bool(report.bad),
        "memory grew": grown > _GROWTH,
        "another caller's request failed": bool(report.failed),
        "another caller's p99 doubled": slower > 2,
    }
    print(*[f"BROKEN: {name}" for name, found in broken.items() if found] or ["all promises kept"], sep="\n")
    return 1 if any(broken.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
