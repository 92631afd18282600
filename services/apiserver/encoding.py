"""JSON forms of the domain's words: for the database, for digests, and for showing what differs.

Reading is tolerant: a field that is missing gets its default and one that is unknown is left out, so that a database
written by the previous version reads as it did.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Plain dicts, lists, numbers and strings; enums by their value."""
    return msgspec.to_builtins(value, str_keys=True)


def from_json(data: Any, kind: type[T]) -> T:
    """The inverse of `to_json` for a dataclass."""
    return msgspec.convert(data, kind)


def dumps(value: Any) -> str:
    """Compact, keys sorted: equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()


def lean(value: Any) -> Any:
    """As `to_json`, without the fields of dataclasses that have their default.

    A digest over this form does not change when a later version adds a field: nobody's API is rolled out anew because
    the platform was upgraded.
    """
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return to_json(value)
    fields = {field.name: (getattr(value, field.name), default_of(field)) for field in dataclasses.fields(value)}
    return {name: lean(given) for name, (given, default) in fields.items() if given != default}


def default_of(field: "dataclasses.Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def leaves(value: Any, path: str = "") -> Mapping[str, str]:
    """Dotted path of each leaf -> its JSON. Lists and empty maps are leaves."""
    if not isinstance(value, Mapping) or not value:
        return {path: dumps(value)}
    found: dict[str, str] = {}
    for key, inner in value.items():
        found.update(leaves(inner, f"{path}.{key}" if path else str(key)))
    return found
