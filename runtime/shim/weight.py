"""Guesses in about a microsecond whether a result takes long to encode, by its type, its length and its first item."""

from __future__ import annotations

from typing import Any

_HEAVY = 2048  # values; about half a millisecond of JSON
_HEAVY_BYTES = 65536
_DEPTH = 6
_FEW = 8  # items of a map that are looked at one by one
_ONE = frozenset([int, float, bool, type(None)])


def is_heavy(result: Any) -> bool:
    """Whether to give the permit back before encoding, which costs another frame and another thread."""
    if type(result) is dict and len(result) <= _FEW and _ONE.issuperset(map(type, result.values())):
        return False  # what most predictors answer
    if isinstance(result, (bytes, bytearray, str)):
        return len(result) > _HEAVY_BYTES
    if type(result) is tuple and len(result) == 2 and callable(result[1]):
        return is_heavy(result[0])
    return _values(result, _DEPTH) > _HEAVY


def _values(value: Any, depth: int) -> int:
    kind = type(value)
    if kind in _ONE:
        return 1
    if kind is str:
        return 1 + len(value) // 32
    if kind is dict and value and depth:
        if len(value) <= _FEW:
            return sum([_values(item, depth - 1) for item in value.values()])
        return len(value) * _values(next(iter(value.values())), depth - 1)
    if kind in (list, tuple) and value and depth:
        return len(value) * _values(value[0], depth - 1)
    if hasattr(value, "tolist"):
        size = value.numel() if hasattr(value, "numel") else getattr(value, "size", 1)
        return size if isinstance(size, int) else 1
    return 1
