"""The kinds of bounds that fields have, each told by the path of the field in the user's file."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from services.apiserver.errors import Violation

MIB = 1024 * 1024
MOST_JSON_BYTES = MIB
# Long enough for anything that is meant; the gateway's timers, and every clock it is added to, take it with ease.
LONGEST_SECONDS = 86_400.0


def inside(field: str, path: str) -> Iterator[Violation]:
    if path.startswith("/") or ".." in path.split("/") or "\\" in path or "\0" in path:
        yield Violation(field, "must be a relative path with / that stays inside the project")


def between(field: str, value: int, least: int, most: int, *, unit: str = "") -> Iterator[Violation]:
    if not least <= value <= most:
        yield Violation(field, f"must be {least}{unit} to {most}{unit}, is {value}{unit}")


def seconds(field: str, value: float, *, least: float = 0) -> Iterator[Violation]:
    if not least <= value <= LONGEST_SECONDS:
        yield Violation(field, f"must be {least:g} s to {LONGEST_SECONDS:.0f} s (24 h), is {value:g} s")


def number(
    field: str, value: float, *, least: float = -math.inf, above: float = -math.inf, below: float = math.inf
) -> Iterator[Violation]:
    if not (math.isfinite(value) and value >= least and value > above and value < below):
        bounds = {"at least": least, "above": above, "below": below}
        words = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))
        yield Violation(field, f"must be {words}, is {value:g}")


def json_value(field: str, value: Mapping[str, Any]) -> Iterator[Violation]:
    try:
        size = len(json.dumps(value, allow_nan=False))
    except ValueError:
        yield Violation(field, "numbers must be finite")
        return
    if size > MOST_JSON_BYTES:
        yield Violation(field, f"at most {MOST_JSON_BYTES // MIB} MiB as JSON")
