"""python -m tests.conformance.oip --http URL --grpc ADDR [--model NAME] [-o json]"""

import argparse
import collections
import json
import pathlib
import sys
import tempfile

from tests.conformance.oip import runner
from tests.conformance.oip.cases import NotMet, Verdict
from tests.conformance.oip.target import Target


def main() -> int:
    told = _arguments()
    if not told.self:
        token = told.admin_token_file.read_text().strip() if told.admin_token_file else ""
        return _judge(Target(told.http, told.grpc, told.model, _headers(told), token=token), told)
    return max(_judge_ours(name, told) for name in ("SIMPLE", "TEXT"))


def _judge_ours(name: str, told: argparse.Namespace) -> int:
    # Only here, so that the suite can be copied elsewhere without the runtime's tests.
    from tests.conformance import oip_model
    from tests.runtime import replica

    with (
        tempfile.TemporaryDirectory() as folder,
        replica.running(pathlib.Path(folder), getattr(oip_model, name), config=oip_model.config(folder)) as served,
    ):
        http, grpc = f"127.0.0.1:{served.http_port}", served.grpc_address
        return _judge(Target(http, grpc, "demo", _headers(told), token=oip_model.TOKEN), told)


def _judge(target: Target, told: argparse.Namespace) -> int:
    try:
        target.discover()
    except NotMet as error:
        print(f"cannot begin: {error}", file=sys.stderr)
        return 2
    kind = told.kind or runner.kind_of(target)
    wanted = [case for case in runner.all_cases() if told.only in case.id]
    verdicts = []
    for verdict in runner.run(target, wanted, runner.differences(kind)):
        verdicts.append(verdict)
        if told.o == "text":
            _show(verdict, verbose=told.verbose)
    counts = collections.Counter(verdict.word for verdict in verdicts)
    if told.o == "json":
        print(json.dumps({"kind": kind, "counts": counts, "cases": [_row(verdict) for verdict in verdicts]}, indent=1))
    else:
        print(f"{kind or 'server'}: " + ", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    return 1 if counts["FAIL"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.oip", description=__doc__)
    parser.add_argument("--http", help="base URL or host:port; a path in front of /v2 is allowed")
    parser.add_argument("--grpc", help="host:port")
    parser.add_argument("--model", help="default: the first of the repository's index")
    parser.add_argument("--kind", help="whose declared differences apply; default: the name the server tells")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="sent with every request")
    parser.add_argument("--admin-token-file", type=pathlib.Path, help="for the cases that only an admin may ask for")
    parser.add_argument("--only", default="", help="cases whose id contains this")
    parser.add_argument("--self", action="store_true", help="start a Cortex replica and test that")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what was sent")
    parser.add_argument("-o", choices=["text", "json"], default="text")
    told = parser.parse_args()
    if not (told.http or told.grpc or told.self):
        parser.error("say where the server is: --http, --grpc or both")
    return told


def _headers(told: argparse.Namespace) -> dict[str, str]:
    return dict(line.split(":", 1) for line in told.header)


def _show(verdict: Verdict, *, verbose: bool) -> None:
    print(f"{verdict.word}  {verdict.case.id:28} {verdict.case.about}")
    if verdict.word in ("FAIL", "DIFF"):
        print(f"      expected {verdict.case.expects}; {verdict.told}")
    if (verbose and verdict.sent) or verdict.word == "FAIL":
        print(f"      sent {verdict.sent}")


def _row(verdict: Verdict) -> dict[str, str]:
    return {
        "id": verdict.case.id,
        "verdict": verdict.word,
        "about": verdict.case.about,
        "expects": verdict.case.expects,
        "told": verdict.told,
        "sent": verdict.sent,
    }


if __name__ == "__main__":
    sys.exit(main())
