"""Large tensors on their way to Triton and back: a region of /dev/shm per request in flight, registered once.

Inputs lie in the first part of a region, outputs whose size is known from the model's configuration in the rest. A
region that Triton may still read or write, because its request was given up, is neither lent again nor unregistered,
which would unmap it under Triton's feet: it is retired, and goes with the server.
"""

import contextlib
import math
import mmap
import os
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

from runtime.inference import InferError, InferRequest, Tensor
from runtime.triton.catalog import Entry
from runtime.triton.checks import SIZES

LEAST_BYTES = 64 * 1024  # below, a copy through the socket is cheaper than the bookkeeping
_STEP = 1024 * 1024
_MOST_IDLE = 16

Place = tuple[str, int, int]  # region, offset, size
Register = Callable[[str, str, int], Awaitable[None]]


class Region:
    """One named piece of memory."""

    def __init__(self, folder: pathlib.Path, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.path = folder / name
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)  # a full /dev/shm is an error here, not a SIGBUS later
            self.memory = mmap.mmap(fd, size)
        except OSError:
            self.path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    def close(self) -> None:
        self.memory.close()
        self.path.unlink(missing_ok=True)


class Loan:
    """A region while one request has it."""

    def __init__(self, region: Region, rooms: Sequence[tuple[str, int]], asked: Sequence[str]) -> None:
        self.asked = asked  # the outputs to ask for by name
        self.kept = False  # its caller has left, and Triton has not
        self.region = region
        self._end = 0
        self._rooms: dict[str, Place] = {}
        self._sizes = dict(rooms)

    def put(self, tensor: Tensor) -> Place | None:
        """Copies the tensor in, when it is large."""
        size = len(tensor.data)
        if size < LEAST_BYTES:
            return None
        place = self._reserve(size)
        self.region.memory[place[1] : place[1] + size] = tensor.data
        return place

    def outputs(self) -> Iterator[tuple[str, Place | None]]:
        """The outputs to ask for, each with the room that was kept for it."""
        for name in self.asked:
            size = self._sizes.get(name)
            room = self._reserve(size) if size else None
            if room is not None:
                self._rooms[name] = room
            yield name, room

    def take(self, name: str, size: int) -> bytes:
        """What Triton wrote into the room kept for the output; nothing when it had none."""
        if name not in self._rooms:
            return b""
        _, offset, room = self._rooms[name]
        return self.region.memory[offset : offset + min(size, room)]

    def _reserve(self, size: int) -> Place:
        offset = self._end
        self._end += _aligned(size)
        return self.region.name, offset, size


class Regions:
    """The regions registered with one server. `prefix` begins their names, so that nothing is left when it dies."""

    def __init__(self, folder: pathlib.Path, prefix: str, register: Register) -> None:
        self.retired_bytes = 0
        self._folder = folder
        self._prefix = prefix
        self._register = register
        self._idle: list[Region] = []
        self._count = 0

    @contextlib.asynccontextmanager
    async def lend(self, entry: Entry, request: InferRequest) -> AsyncIterator[Loan | None]:
        """A region for the request's large tensors, None when there are none or no memory is left."""
        rooms = _rooms(entry, request)
        sizes = [len(tensor.data) for tensor in request.inputs if len(tensor.data) >= LEAST_BYTES]
        size = sum(map(_aligned, [*sizes, *(room for _, room in rooms)]))
        region = await self._borrow(size) if size else None
        if region is None:
            yield None
            return
        asked = request.outputs or ([told.name for told in entry.describe().outputs] if rooms else ())
        loan, answered = Loan(region, rooms, asked), False
        try:
            yield loan
            answered = True
        except InferError as error:
            answered = error.status in (400, 404, 500)  # Triton's own words: it is done with the request
            raise
        finally:
            if not loan.kept:
                self.give_back(region, answered=answered)

    async def _borrow(self, size: int) -> Region | None:
        fitting = [region for region in self._idle if region.size >= size]
        if fitting:
            region = min(fitting, key=lambda region: region.size)
            self._idle.remove(region)
            return region
        self._count += 1
        name = f"{self._prefix}io-{self._count}"
        try:
            region = Region(self._folder, name, -(-size // _STEP) * _STEP)
        except OSError:
            return None
        try:
            await self._register(name, "/" + name, region.size)
        except BaseException:
            region.close()
            raise
        return region

    def give_back(self, region: Region, *, answered: bool) -> None:
        """`answered`: Triton is done with it."""
        if answered and len(self._idle) < _MOST_IDLE:
            self._idle.append(region)
        else:
            self.retired_bytes += region.size
            region.close()  # our map and the name; the memory goes when Triton lets go of it

    def close(self) -> None:
        for region in self._idle:
            region.close()
        self._idle.clear()


def _rooms(entry: Entry, request: InferRequest) -> list[tuple[str, int]]:
    """Large outputs whose size the configuration tells, once the batch is known."""
    described = entry.describe()
    batched = int(entry.config.get("max_batch_size", 0)) > 0
    batch = request.inputs[0].shape[0] if request.inputs and batched else 1
    rooms = []
    for told in described.outputs:
        rest = told.shape[1:] if batched else told.shape
        wanted = not request.outputs or told.name in request.outputs
        if wanted and told.datatype in SIZES and all(size > 0 for size in rest):
            size = SIZES[told.datatype] * math.prod(rest) * batch
            if size >= LEAST_BYTES:
                rooms.append((told.name, size))
    return rooms


def _aligned(size: int) -> int:
    return -(-size // 64) * 64
