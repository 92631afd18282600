"""Resource names: parsing and formatting, and nothing about what they name."""

import re
from collections.abc import Mapping

from services.chassis import errors

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def parse(pattern: str, name: str) -> Mapping[str, str]:
    """`parse("namespaces/{namespace}/apis/{api}", name)` gives the variables. Raises InvalidArgument."""
    wanted, given = pattern.split("/"), name.split("/")
    found = dict(_variables(wanted, given)) if len(wanted) == len(given) else {}
    if len(found) != sum(part.startswith("{") for part in wanted) or format(pattern, **found) != name:
        raise errors.InvalidArgument(
            f"{name[:200]!r} is not a resource name of the form {pattern!r}",
            reason="INVALID_NAME",
            metadata={"name": name[:200]},
        )
    return found


def format(pattern: str, **variables: str) -> str:
    return pattern.format(**variables)


def is_label(text: str, *, longest: int = 63) -> bool:
    """Whether `text` is a DNS-1035 label: lower case letters, digits and `-`, beginning with a letter."""
    return len(text) <= longest and _LABEL.fullmatch(text) is not None


def _variables(wanted: list[str], given: list[str]) -> list[tuple[str, str]]:
    pairs = zip(wanted, given, strict=True)
    return [(w[1:-1], g) for w, g in pairs if w.startswith("{") and g]
