"""How many fields a message may have, counted in its bytes before they are parsed.

An empty message inside another takes two bytes on the wire and some forty times that once it is parsed, so what a
request's size allows says little of its memory. Counting skips what is inside strings and bytes, whatever their size.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import message
from google.protobuf.descriptor import FieldDescriptor

_WHOLE = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_VARINT, _FIXED64, _SIZED, _GROUP, _GROUP_END, _FIXED32 = range(6)
_CUT = "the message ends inside a field"


class Plan(dict[int, "Plan | int"]):
    """What to do with the content of a field, by its number: look into it as the plan there says, or take every so many
    bytes of it for a field more. What is in other fields is skipped."""


def plan(kind: Any, by_size: Mapping[str, int] | None = None) -> Plan:
    """Of a kind's descriptor. `by_size`: kinds by name that count by their size; what is in them is not looked into."""
    return _plan(kind, by_size or {}, {})


def _plan(kind: Any, by_size: Mapping[str, int], made: dict[str, Plan]) -> Plan:
    if kind.full_name not in made:
        found = made[kind.full_name] = Plan()  # before its fields: a kind may hold itself
        for field in kind.fields:
            inner = field.message_type
            if inner is not None:
                found[field.number] = by_size.get(inner.full_name) or _plan(inner, by_size, made)
            elif field.type not in _WHOLE:
                found[field.number] = 1  # numbers, of which many come as one field
    return made[kind.full_name]


def exceeds(data: bytes, kind: Plan, most: int) -> bool:
    """Whether the message has more than `most` fields. Raises DecodeError for bytes that are none."""
    if len(data) <= most:
        return False  # a field has a byte at least, so nearly every request ends here
    try:
        return _exceeds(data, kind, most)
    except IndexError:
        raise message.DecodeError(_CUT) from None


def _exceeds(data: bytes, kind: Plan, left: int) -> bool:
    at = 0
    outer = [(len(data), kind)]
    while outer:
        end, kind = outer.pop()
        while at < end:
            key, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at)
            left -= 1
            if key & 7 != _SIZED:
                at = _behind(data, at, key & 7)
            else:
                size, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at)
                if at + size > end:
                    raise message.DecodeError("a field is said to be longer than the message it is in")
                inner = kind.get(key >> 3)
                if isinstance(inner, Plan):
                    outer.append((end, kind))
                    end, kind = at + size, inner
                else:
                    left -= size // inner if inner else 0
                    at += size
            if left < 0:
                return True
        if at > end:
            raise message.DecodeError("a field is longer than the message it is in")
    return False


def without(data: bytes, number: int, most: int) -> int | None:
    """The size of the message but for the content of one field, None with more than `most` fields at its top."""
    at, rest = 0, len(data)
    try:
        for _ in range(most):
            if at >= len(data):
                break
            key, at = _varint(data, at)
            if key & 7 != _SIZED:
                at = _behind(data, at, key & 7)
                continue
            size, at = _varint(data, at)
            at += size
            rest -= size if key >> 3 == number else 0
    except IndexError:
        raise message.DecodeError(_CUT) from None
    if at > len(data):
        raise message.DecodeError(_CUT)
    return rest if at == len(data) else None


def _behind(data: bytes, at: int, wire: int) -> int:
    """Where a field ends that does not tell its size."""
    if wire == _VARINT:
        return _varint(data, at)[1]
    if wire in (_GROUP, _GROUP_END):
        return at  # what is in a group is counted as if there was none
    if wire not in (_FIXED32, _FIXED64):
        raise message.DecodeError("a field has a wire type that there is not")
    return at + (4 if wire == _FIXED32 else 8)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Its value, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        part = data[at]
        at += 1
        value |= (part & 127) << shift
        if part < 128:
            return value, at
    raise message.DecodeError("a number is longer than ten bytes")
