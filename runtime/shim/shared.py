"""The memory in which the front leaves large request bodies (runtime/slabs.py), as a worker sees it: to read."""

from __future__ import annotations

import mmap
import struct
from typing import Any

# What stands for a body that is there: where it begins, and its size.
PLACE = struct.Struct("<QQ")


class Bodies:
    """Opened with the first body that is there: most predictors never get one."""

    def __init__(self, told: dict[str, Any] | None) -> None:
        self._told = told
        self._memory: mmap.mmap | None = None

    def read(self, place: bytes) -> bytes:
        """A copy: what the user's code gets is its own for as long as it likes."""
        if self._memory is None:
            assert self._told is not None
            with open(self._told["path"], "rb") as file:
                self._memory = mmap.mmap(file.fileno(), self._told["bytes"], access=mmap.ACCESS_READ)
        offset, size = PLACE.unpack(place)
        return self._memory[offset : offset + size]
