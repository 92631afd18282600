"""One value of the document to one of the contract, by its field's form. Raises ValueError saying what it expected."""

import math
from collections.abc import Callable
from typing import Any

from cortex_client.project import quantities
from cortex_client.project.schema import Field, Form
from cortex_client.project.values import Entry, Value

_EXACT = 2**53
_INT32 = 2**31


class WrongEntryError(ValueError):
    """An entry inside the value is wrong: `key` is its path below the value, `entry` what stands where."""

    def __init__(self, expected: str, key: str, entry: Entry) -> None:
        super().__init__(expected)
        self.key = key
        self.entry = entry


def convert(field: Field, value: Value) -> Any:
    """Text as str, durations as nanoseconds, cores as thousandths, sizes as bytes."""
    result = _CONVERTERS[field.form](value)
    if field.positive and result <= 0:
        raise ValueError("more than 0")
    return result


def _text(value: Value) -> str:
    if not isinstance(value.data, str):
        raise ValueError("text")
    return value.data


def _location(value: Value) -> str:
    text = _text(value)
    scheme, mark, rest = text.partition("://")
    if mark and (scheme not in ("s3", "file") or not rest.strip("/")):
        raise ValueError("a path in the project, an absolute path, file:///path or s3://bucket/key")
    return text


def _scalar_text(value: Value) -> str:
    """Text, or a number or boolean as it was written: `python_version: 3.10`, `env: {WORKERS: 2}`."""
    if value.data is None or isinstance(value.data, dict | list):
        raise ValueError("text")
    return value.text if not isinstance(value.data, str) else value.data


def _integer(value: Value) -> int:
    if isinstance(value.data, float) and value.data.is_integer():
        return int(value.data)
    if not isinstance(value.data, int) or isinstance(value.data, bool):
        raise ValueError("a whole number")
    if not -_INT32 <= value.data < _INT32:
        raise ValueError("a whole number of at most 32 bits")
    return value.data


def _number(value: Value) -> float:
    if isinstance(value.data, bool) or not isinstance(value.data, int | float) or not math.isfinite(value.data):
        raise ValueError("a number")
    return float(value.data)


def _boolean(value: Value) -> bool:
    if not isinstance(value.data, bool):
        raise ValueError("true or false")
    return value.data


def _quantity(parse: Callable[[str], Any], expected: str) -> Callable[[Value], Any]:
    def read(value: Value) -> Any:
        if isinstance(value.data, bool) or not isinstance(value.data, str | int | float):
            raise ValueError(expected)
        return parse(value.text or str(value.data))

    return read


def _any_map(value: Value) -> dict[str, Any]:
    if not isinstance(value.data, dict):
        raise ValueError("a mapping")
    _check_exact(value, "", None)
    plain: dict[str, Any] = value.plain()
    return plain


def _check_exact(value: Value, key: str, entry: Entry | None) -> None:
    """The contract carries JSON numbers; one that would change on the way is refused instead of being bent."""
    expected = ""
    if isinstance(value.data, dict):
        for name, inner in value.data.items():
            _check_exact(inner.value, f"{key}.{name}" if key else name, inner)
    elif isinstance(value.data, list):
        for number, item in enumerate(value.data):
            _check_exact(item, f"{key}[{number}]", Entry(item.position, item))
    elif isinstance(value.data, int) and abs(value.data) > _EXACT:
        expected = f"numbers that JSON keeps exactly (write {value.text} as text)"
    elif isinstance(value.data, float) and not math.isfinite(value.data):
        expected = f"finite numbers (write {value.text} as text)"
    if expected and entry is not None:
        raise WrongEntryError(expected, key, entry)


def _text_map(value: Value) -> dict[str, str]:
    if not isinstance(value.data, dict):
        raise ValueError("a mapping of text")
    found = {}
    for key, entry in value.data.items():
        try:
            found[key] = _scalar_text(entry.value)
        except ValueError as error:
            raise WrongEntryError(str(error), key, entry) from None
    return found


def _text_list(value: Value) -> list[str]:
    if not isinstance(value.data, list) or not all(isinstance(item.data, str) for item in value.data):
        raise ValueError("a list of text")
    return [str(item.data) for item in value.data]


def _integer_list(value: Value) -> list[int]:
    if not isinstance(value.data, list):
        raise ValueError("a list of whole numbers")
    found = []
    for number, item in enumerate(value.data):
        try:
            found.append(_integer(item))
        except ValueError as error:
            raise WrongEntryError(str(error), f"[{number}]", Entry(item.position, item)) from None
    return found


_CONVERTERS: dict[Form, Callable[[Value], Any]] = {
    Form.TEXT: _text,
    Form.LITERAL: _scalar_text,
    Form.LOCATION: _location,
    Form.INTEGER: _integer,
    Form.NUMBER: _number,
    Form.BOOLEAN: _boolean,
    Form.DURATION: _quantity(quantities.parse_duration, quantities.DURATION),
    Form.CPU: _quantity(quantities.parse_cpu, quantities.CPU),
    Form.BYTES: _quantity(quantities.parse_bytes, quantities.BYTES),
    Form.COUNT_OR_PERCENT: _quantity(quantities.parse_count_or_percent, quantities.COUNT_OR_PERCENT),
    Form.ANY_MAP: _any_map,
    Form.TEXT_MAP: _text_map,
    Form.TEXT_LIST: _text_list,
    Form.INTEGER_LIST: _integer_list,
}
