"""Memory that the front shares with its workers: where large request bodies wait, so that no socket has to carry them.

The front writes and gives out places; workers may only read. A place belongs to whoever holds its `Loan`: the request
until it has ended, and the link until the worker gives the permit back. A worker that dies gives back all it had, so
nothing is lost by a kill, and no place is written anew while a worker may still read it.
"""

import mmap
import os
import pathlib
import sys

# Smaller bodies go through the socket, and so do larger ones: those are rare, and copies are not what makes them slow.
LEAST_BYTES = 64 * 1024
_LEAST_PLACE = 128 * 1024
_LARGEST_PLACE = 16 * 1024 * 1024
_BYTES = 256 * 1024 * 1024  # of addresses; memory is taken by what is used
_KEPT_BYTES = 32 * 1024 * 1024  # of free places whose memory is not given back, as it is warm


class Loan:
    """A place for one body; free again when nobody refers to this object."""

    __slots__ = ("_slab", "filled", "offset", "room", "size")

    def __init__(self, slab: "Slab", offset: int, room: int, size: int) -> None:
        self._slab = slab
        self.offset = offset
        self.room = room
        self.size = size
        self.filled = 0

    def fill(self, data: bytes) -> None:
        begin = self.offset + self.filled
        self.filled += len(data)
        self._slab.memory[begin : self.offset + self.filled] = data

    def __len__(self) -> int:
        return self.size

    def view(self) -> memoryview:
        """Good for as long as this object is."""
        return memoryview(self._slab.memory)[self.offset : self.offset + self.size]

    def __bytes__(self) -> bytes:
        return self._slab.memory[self.offset : self.offset + self.size]

    def __del__(self) -> None:
        self._slab.give_back(self.offset, self.room)


class Slab:
    """Places of sizes that are powers of two. Owned by the event loop."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("cortex-bodies")
        os.ftruncate(self._fd, _BYTES)
        self.memory = mmap.mmap(self._fd, _BYTES)
        self._free: dict[int, list[int]] = {}
        self._end = 0  # of what was ever given out
        self._warm = 0

    @property
    def told(self) -> dict[str, object]:
        """What a worker needs to see it. The worker is of the same user, who may open what we have open."""
        return {"path": f"/proc/{os.getpid()}/fd/{self._fd}", "bytes": _BYTES}

    def take(self, size: int) -> Loan | None:
        """None where no place is free or the size is not for here."""
        if not LEAST_BYTES <= size <= _LARGEST_PLACE:
            return None
        room = max(_LEAST_PLACE, 1 << (size - 1).bit_length())
        free = self._free.get(room)
        if free:
            self._warm -= room
            return Loan(self, free.pop(), room, size)
        if self._end + room > _BYTES:
            return None
        offset, self._end = self._end, self._end + room
        return Loan(self, offset, room, size)

    def give_back(self, offset: int, room: int) -> None:
        self._free.setdefault(room, []).append(offset)
        self._warm += room
        if self._warm > _KEPT_BYTES:
            self.memory.madvise(mmap.MADV_REMOVE, offset, room)


def make() -> Slab | None:
    """None where the system has no anonymous files that another process can open."""
    return Slab() if sys.platform.startswith("linux") and pathlib.Path("/proc/self/fd").is_dir() else None
