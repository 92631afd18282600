"""Ways to spoil a request that know its structure: its JSON, its lengths, its bytes. Chance comes from one Random."""

import copy
import json
import random
import struct
from collections.abc import Callable
from typing import Any

# What parsers and size computations have stumbled over elsewhere.
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1,
    10**40, 0.5, -0.0, 1e39, 1e308, 5e-324, "", "a", "\0", "\ud83d", "é", "x" * 3000, "../../etc/passwd",
    "%s%n", "FP32", "BYTES", "INT64", "BF16", "triton_x", [], [[]], [[[]]], {}, {"a": {"b": {}}}, [1, "a", None],
    [-1], [2**62, 2**62],
    [0], [1] * 40, {"binary_data_size": -1}, {"binary_data_size": 2**63}, {"shared_memory_region": "x"},
)  # fmt: skip
LENGTHS = (b"", b"0", b"-1", b"1", b"18446744073709551616", b"1e3", b"0x10", b" 5", b"5 5", b"nan", b"99999999")
_WORDS = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"01", b"+1", b"'a'", b"undefined", b"\xff", b"/**/", b"[" * 500)


class Mutator:
    """One stream of decisions, so that a seed and a number name a request for ever."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def json(self, value: Any) -> Any:
        """`value` with one to three of its parts replaced, removed, repeated or renamed."""
        found = copy.deepcopy(value)
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            found = self._change(found)
        return found

    def _change(self, value: Any) -> Any:
        places = list(_places(value))
        if not places:
            return self.random.choice(ODD)
        holder, key = self.random.choice(places)
        change = self.random.choice((self._replace, self._replace, self._remove, self._repeat, self._rename))
        change(holder, key)
        return value

    def _replace(self, holder: Any, key: Any) -> None:
        holder[key] = copy.deepcopy(self.random.choice(ODD))

    @staticmethod
    def _remove(holder: Any, key: Any) -> None:
        del holder[key]

    def _repeat(self, holder: Any, key: Any) -> None:
        if isinstance(holder, list):
            holder.extend([copy.deepcopy(holder[key])] * self.random.choice((1, 2, 100)))
        else:
            holder[f"{key}2"] = copy.deepcopy(holder[key])

    def _rename(self, holder: Any, key: Any) -> None:
        if isinstance(holder, dict):
            holder[self.random.choice(("", "name", "inputs", "data", "parameters", "\0", "x" * 500))] = holder.pop(key)

    def text(self, value: Any) -> bytes:
        """`value` as JSON, sometimes with words inside that are none."""
        text = json.dumps(value, ensure_ascii=self.random.random() < 0.9).encode("utf-8", "surrogatepass")
        return self.bytes(text) if self.random.random() < 0.2 else text

    def bytes(self, data: bytes) -> bytes:
        """Some bytes changed, cut out, doubled or put in."""
        found = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 5))):
            at = self.random.randrange(len(found) + 1)
            self.random.choice(_BYTE_CHANGES)(self.random, found, at)
        return bytes(found)


def _places(value: Any) -> Any:
    """Every holder and key in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def _flip(random_: random.Random, data: bytearray, at: int) -> None:
    if at < len(data):
        data[at] ^= 1 << random_.randrange(8)


def _cut(random_: random.Random, data: bytearray, at: int) -> None:
    del data[at : at + random_.choice((1, 4, 50, 10_000))]


def _double(random_: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = data[at : at + random_.choice((1, 8, 200))]


def _insert(random_: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = random_.choice((*_WORDS, random_.randbytes(8), struct.pack("<I", random_.getrandbits(32))))


def _overwrite(random_: random.Random, data: bytearray, at: int) -> None:
    data[at : at + 4] = struct.pack("<I", random_.choice((0, 1, 2**31, 2**32 - 1)))


_BYTE_CHANGES: tuple[Callable[[random.Random, bytearray, int], None], ...] = (
    _flip, _flip, _cut, _double, _insert, _overwrite,
)  # fmt: skip
