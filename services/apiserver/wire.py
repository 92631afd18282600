"""Reading and writing protobuf messages field by field: times, enums, structs, and what was said at all."""

import math
from typing import Any

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2


def timestamp(seconds: float | None) -> timestamp_pb2.Timestamp | None:
    if seconds is None:
        return None
    made = timestamp_pb2.Timestamp()
    made.FromMicroseconds(round(seconds * 1e6))
    return made


def duration(seconds: float) -> duration_pb2.Duration:
    made = duration_pb2.Duration()
    made.FromNanoseconds(round(seconds * 1e9))
    return made


def seconds(value: duration_pb2.Duration) -> float:
    # One division rounds once: a sum of seconds and a fraction would not come back as it went.
    return value.ToNanoseconds() / 1e9


def struct_to_json(struct: struct_pb2.Struct) -> dict[str, Any]:
    return {key: _value_to_json(value) for key, value in struct.fields.items()}


def _value_to_json(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        # The wire knows one kind of number; the user's `threshold: 3` shall reach the predictor as 3, not as 3.0.
        return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 2**53 else number
    if kind == "struct_value":
        return struct_to_json(value.struct_value)
    if kind == "list_value":
        return [_value_to_json(inner) for inner in value.list_value.values]
    return getattr(value, kind) if kind in ("string_value", "bool_value") else None


def enum_name(kind: Any, value: int) -> str:
    """The value's name without the prefix that all names of its enum share; empty when unset."""
    if value == 0:
        return ""
    prefix = kind.Name(0).removesuffix("UNSPECIFIED")
    return kind.Name(value).removeprefix(prefix) if value in kind.values() else str(value)


def given(message: Any) -> dict[str, Any]:
    """The fields that say something: present ones, and those without presence that are not zero. Durations become
    seconds, structs JSON, maps and lists plain ones; nested messages of ours stay out."""
    return {field.name: _plain(field, value) for field, value in message.ListFields() if _is_value(field)}


def _is_value(field: Any) -> bool:
    kind = field.message_type
    return kind is None or kind.GetOptions().map_entry or kind.file.package == "google.protobuf"


def _plain(field: Any, value: Any) -> Any:
    if isinstance(value, duration_pb2.Duration):
        return seconds(value)
    if isinstance(value, struct_pb2.Struct):
        return struct_to_json(value)
    if field.message_type is not None:
        return dict(value)
    return tuple(value) if field.is_repeated else value
