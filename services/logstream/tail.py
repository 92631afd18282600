"""One tail from its first line to its end: read, put in order, send in batches, beat when there is nothing to send.

The caller's pace is ours: while a batch is not taken, nothing is read. What is not read yet lies in the files, which is
the largest buffer there is; how far a follower may fall behind is the source's business.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent import futures

from services.chassis import clock
from services.logstream import merge, model, ports

HEARTBEAT_SECONDS = 5.0
_POLL_SECONDS = 0.1
_BATCH_ENTRIES = 500
_BATCH_CHARACTERS = 256 * 1024


class Tail:
    """`seal` makes a resume token of a position. `pool` runs what blocks on a disk."""

    def __init__(
        self, reader: ports.LogReader, *, follow: bool, window_ns: int, seal: Callable[[object], str],
        pool: futures.Executor, time_source: clock.Clock,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._follow = follow
        self._merger = merge.Merger(window_ns)
        self._seal = seal
        self._pool = pool
        self._clock = time_source
        self._spoke = time_source.monotonic()

    async def batches(self) -> AsyncIterator[model.Batch]:
        loop = asyncio.get_running_loop()
        while True:
            chunk = await loop.run_in_executor(self._pool, self._reader.read)
            for batch in self._ready(chunk):
                yield batch
                self._spoke = self._clock.monotonic()
            caught_up = chunk.floor_ns is None
            if caught_up and not self._follow:
                yield model.Batch((), self._token())
                return
            if self._clock.monotonic() - self._spoke >= HEARTBEAT_SECONDS:
                yield model.Batch((), self._token())
                self._spoke = self._clock.monotonic()
            if caught_up:
                await self._clock.sleep(_POLL_SECONDS)

    def _ready(self, chunk: model.Chunk) -> Iterator[model.Batch]:
        now_ns = int(self._clock.monotonic() * 1e9)
        self._merger.add(chunk.entries, now_ns)
        wall_ns = int(self._clock.now() * 1e9)
        released = self._merger.release(floor_ns=chunk.floor_ns, following=self._follow, wall_ns=wall_ns, now_ns=now_ns)
        for part in split(released):
            for entry in part:
                entry.sent = True
            loss = part[0] if part[0].loss else None
            yield model.Batch(() if loss else part, self._token(), loss)

    def _token(self) -> str:
        return self._seal(self._reader.position())


def split(entries: Sequence[model.Entry]) -> Iterator[Sequence[model.Entry]]:
    """Batches that are neither long nor large; a loss stands alone."""
    begin = characters = 0
    for index, entry in enumerate(entries):
        if index > begin and (
            entry.loss or entries[begin].loss or index - begin >= _BATCH_ENTRIES or characters > _BATCH_CHARACTERS
        ):
            yield entries[begin:index]
            begin, characters = index, 0
        characters += len(entry.message)
    if begin < len(entries):
        yield entries[begin:]


def system_pool(threads: int) -> futures.ThreadPoolExecutor:
    return futures.ThreadPoolExecutor(threads, thread_name_prefix="tail")
