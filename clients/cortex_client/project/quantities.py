"""The notations of cortex.yaml: Kubernetes quantities and Go durations, parsed exactly, without binary fractions.

Every parser raises ValueError with a text that finishes the sentence "expected ..., found ...".
"""

import decimal
import re

_DURATION_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?(?:[eE]\+?\d{1,2})?)([A-Za-z]*)")
_BYTE_UNITS = {
    "": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_CPU_UNITS = {"": 1000, "m": 1}
_LARGEST = 2**63 - 1
_PERCENT_OR_COUNT = re.compile(r"\d{1,9}%?")

DURATION = "a duration such as 100ms, 60s or 1m30s"
CPU = "cores such as 200m, 0.5 or 2"
BYTES = "bytes such as 512Mi, 1Gi or 100M"
COUNT_OR_PERCENT = "a number such as 1 or a percentage such as 25%"


def parse_duration(text: str) -> int:
    """Nanoseconds of `1m30s`."""
    if text == "0":
        return 0
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(DURATION)
    total = sum(decimal.Decimal(number) * _DURATION_UNITS[unit] for number, unit in parts)
    if total > _LARGEST:
        raise ValueError("a duration below 292 years")
    return int(total)


def parse_cpu(text: str) -> int:
    """Thousandths of a core, rounded up as Kubernetes does."""
    return _quantity(text, _CPU_UNITS, CPU)


def parse_bytes(text: str) -> int:
    """Bytes, rounded up."""
    return _quantity(text, _BYTE_UNITS, BYTES)


def parse_count_or_percent(text: str) -> str:
    if _PERCENT_OR_COUNT.fullmatch(text) is None:
        raise ValueError(COUNT_OR_PERCENT)
    return text


def _quantity(text: str, units: dict[str, int], expected: str) -> int:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        raise ValueError(expected)
    exact = decimal.Decimal(match[1]) * units[match[2]]
    if exact > _LARGEST:
        raise ValueError(f"{expected}, at most {_LARGEST}")
    return int(exact.to_integral_value(rounding=decimal.ROUND_CEILING))


def format_files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def format_bytes(size: float) -> str:
    """`1.5 MiB`, for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")
