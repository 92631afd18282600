"""`python -m tests.bench [ROW...]`: the rows of docs/benchmarks, all of them without a name; `peers` is the comparison.

Prints a table in Markdown as it goes and appends the raw numbers to --out.
"""

import argparse
import json
import os
import pathlib
import sys
import time
import traceback

from tests.bench import peers, rounds, serving, table
from tests.bench.rows.throughput import Options


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join((*table.ROWS, "peers")))
    parser.add_argument(
        "--rounds", type=int, default=15, help="of what is under load; at most 7 of what starts and ends"
    )
    parser.add_argument("--seconds", type=int, default=1, help="of load per system and round")
    parser.add_argument("--workloads", default=peers.WORKLOADS, help="of `peers`")
    parser.add_argument("--out", type=pathlib.Path, help="JSON lines of all numbers")
    told = parser.parse_args()
    unknown = set(told.rows) - set(table.ROWS) - {"peers"}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join((*table.ROWS, 'peers'))}")
    # With it every start compiles whatever changed since the last run without it: nobody serves so.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    serving.prepare((*serving.NEEDED, *(serving.PEERS if "peers" in told.rows or not told.rows else ())))
    failed = measure([row for row in told.rows or table.ROWS if row != "peers"], told)
    if "peers" in told.rows or not told.rows:
        failed |= peers.compare(told.workloads.split(","), told.seconds, told.rounds)
    return int(failed)


def measure(rows: list[str], told: argparse.Namespace) -> bool:
    """Whether a row could not be measured. A number that misses its promise is a result, not a failure."""
    failed = False
    print(rounds.HEADER, flush=True)
    for row in rows:
        began = time.monotonic()
        try:
            findings = table.ROWS[row](Options(told.rounds, told.seconds))
        except Exception:
            failed = True
            print(
                f"| {row} could not be measured: {traceback.format_exc(limit=3).splitlines()[-1]} | | | | | | |",
                flush=True,
            )
            traceback.print_exc()
            continue
        for finding in findings:
            print(finding.line(), flush=True)
            if told.out:
                numbers = {"row": row, "what": finding.what, "values": list(finding.values), "note": finding.note}
                with told.out.open("a") as file:
                    file.write(json.dumps({**numbers, "seconds": round(time.monotonic() - began, 1)}) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
