"""POSIX shared memory that a caller on this machine has made, for tensors that never cross a socket.

Objects are read and written through their descriptors and never mapped: whoever shrinks a mapped object would kill us
with SIGBUS. Their names must begin as below, which no object that we or Triton create does.
"""

import dataclasses
import ipaddress
import os
import pathlib
import re
import stat
from collections.abc import Mapping
from typing import Any

from runtime.inference import InferError

PREFIXES = ("input", "output", "oip")
PARAMETERS = frozenset(("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"))
_KEY = re.compile(rf"/?((?:{'|'.join(PREFIXES)})[A-Za-z0-9_.-]{{0,200}})")
_FOLDER = pathlib.Path("/dev/shm")  # noqa: S108  where POSIX shared memory is on Linux
_MOST_REGIONS = 256
_LARGEST = 2**40


@dataclasses.dataclass(slots=True)
class _Region:
    key: str
    offset: int
    size: int
    fd: int


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A part of a region: where an input is, or where an output goes."""

    region: str
    offset: int
    size: int


class Regions:
    """What callers have registered, by the names they gave."""

    def __init__(self) -> None:
        self._regions: dict[str, _Region] = {}

    def register(self, name: str, key: str, offset: int, size: int) -> None:
        """Raises InferError."""
        if not name or name in self._regions:
            raise InferError(400, f"a region needs a name of its own; {name[:80]!r} is none")
        if len(self._regions) >= _MOST_REGIONS:
            raise InferError(400, f"there are {_MOST_REGIONS} regions already; unregister some")
        found = _KEY.fullmatch(key)
        if found is None:
            told = f"key {key[:80]!r} is not allowed; it must begin with one of: /{', /'.join(PREFIXES)}"
            raise InferError(400, told)
        if not 0 <= offset <= _LARGEST or not 0 < size <= _LARGEST:
            raise InferError(400, "a region needs an offset of at least 0 and a size of at least 1")
        self._regions[name] = _Region(key, offset, size, _open(found.group(1), key, offset + size))

    def unregister(self, name: str) -> None:
        """All of them when `name` is empty; one that is not there is gone already."""
        for gone in [name] if name else list(self._regions):
            region = self._regions.pop(gone, None)
            if region is not None:
                os.close(region.fd)

    def status(self, name: str) -> list[dict[str, Any]]:
        """Raises InferError for a name nobody registered."""
        if name and name not in self._regions:
            raise InferError(404, f"there is no shared memory region {name[:80]!r}", "NOT_FOUND")
        return [
            {"name": key, "key": region.key, "offset": region.offset, "byte_size": region.size}
            for key, region in self._regions.items()
            if name in ("", key)
        ]

    def read(self, place: Place) -> bytes:
        region = self._within(place, place.size)
        data = os.pread(region.fd, place.size, region.offset + place.offset)
        if len(data) != place.size:
            raise InferError(400, f"shared memory region {place.region!r} has become smaller than it was")
        return data

    def write(self, place: Place, data: "bytes | bytearray | memoryview") -> None:
        if len(data) > place.size:
            told = f"an output of {len(data)} bytes does not fit into {place.size} bytes of region {place.region!r}"
            raise InferError(400, told)
        region = self._within(place, len(data))
        if os.fstat(region.fd).st_size < region.offset + place.offset + len(data):
            raise InferError(400, f"shared memory region {place.region!r} has become smaller than it was")
        os.pwrite(region.fd, data, region.offset + place.offset)

    def _within(self, place: Place, size: int) -> _Region:
        region = self._regions.get(place.region)
        if region is None:
            raise InferError(400, f"there is no shared memory region {place.region[:80]!r}; register it first")
        if place.offset + size > region.size:
            raise InferError(
                400, f"shared memory region {place.region!r} has {region.size} bytes, too few for the tensor"
            )
        return region


def _open(name: str, key: str, needed: int) -> int:
    try:
        fd = os.open(_FOLDER / name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InferError(400, f"cannot open shared memory {key!r}: {error.strerror}") from None
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or info.st_size < needed:
        os.close(fd)
        raise InferError(400, f"shared memory {key!r} has fewer than {needed} bytes")
    return fd


def place(name: str, told: Mapping[str, Any]) -> Place | None:
    """What a tensor's parameters say of shared memory. Raises InferError."""
    region = told.get("shared_memory_region")
    if region is None:
        return None
    offset, size = told.get("shared_memory_offset", 0), told.get("shared_memory_byte_size")
    whole = all(type(value) is int and 0 <= value <= _LARGEST for value in (offset, size))
    if not isinstance(region, str) or not whole:
        raise InferError(400, f"tensor {name!r}: shared_memory_region needs a name, an offset and a byte size")
    return Place(region, int(offset), int(size or 0))


def check_caller(host: str, attempt: int) -> None:
    """Raises InferError for callers who are not on this machine, or come through the gateway."""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if attempt or not local:
        told = "shared memory is for callers on the replica's own machine that call it directly; send the tensors"
        raise InferError(403, told, "NOT_ALLOWED")
