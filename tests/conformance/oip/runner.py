"""Runs cases against a target and judges them by what is declared for the server's kind."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from tests.conformance.oip import grpc_cases, http_cases, http_hostile
from tests.conformance.oip.cases import Case, NotApplicable, NotMet, Verdict
from tests.conformance.oip.target import Target

_DIFFERENCES = pathlib.Path(__file__).with_name("differences.json")


def all_cases() -> list[Case]:
    """Those that have killed servers come last."""
    found = [*http_cases.cases(), *grpc_cases.cases(), *http_hostile.cases()]
    return sorted(found, key=lambda case: case.lethal)


def differences(kind: str) -> dict[str, str]:
    """Case ids and why that kind of server answers otherwise on purpose, or is known to."""
    told: dict[str, dict[str, str]] = json.loads(_DIFFERENCES.read_text())
    return told.get(kind, {})


def kind_of(target: Target) -> str:
    """By the name in the server's metadata: cortex, triton, ..."""
    try:
        name: Any = target.http.send("GET", "/v2").json().get("name", "")
        return str(name).lower()
    except (NotMet, NotApplicable):
        return ""


def run(target: Target, cases: Sequence[Case], declared: dict[str, str]) -> Iterator[Verdict]:
    alive = True
    for case in cases:
        if not alive:
            yield Verdict(case, "SKIP", "the server is dead")
            continue
        verdict = _one(target, case, declared)
        if verdict.word in ("PASS", "FAIL", "DIFF") and not target.is_alive():
            alive = False
            word = "DIFF" if case.id in declared else "FAIL"
            verdict = Verdict(case, word, declared.get(case.id, "the server died of it"), verdict.sent)
        yield verdict


def _one(target: Target, case: Case, declared: dict[str, str]) -> Verdict:
    target.forget()
    try:
        case.run(target)
    except NotApplicable as why:
        return Verdict(case, "SKIP", str(why))
    except NotMet as told:
        seen = str(told)
    except Exception as error:  # an answer of a shape the case did not think of
        seen = f"{type(error).__name__}: {error}"
    else:
        return Verdict(case, "PASS", sent=target.sent)
    if case.id in declared:
        return Verdict(case, "DIFF", f"{declared[case.id]} [{seen}]", target.sent)
    return Verdict(case, "FAIL", seen, target.sent)
