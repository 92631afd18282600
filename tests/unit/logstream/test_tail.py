"""A tail's pace: batches, heartbeats on a clock of our own, and nothing read while nothing is taken."""

import asyncio
from collections.abc import AsyncIterator
from concurrent import futures
from typing import Any

from services.logstream import model, tail


class Clock:
    """Sleeping is what moves it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Inline(futures.Executor):
    """Runs at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "futures.Future[Any]":
        done: futures.Future[Any] = futures.Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Reader:
    """Gives prepared chunks, then nothing."""

    def __init__(self, *chunks: model.Chunk) -> None:
        self.chunks = list(chunks)
        self.reads = 0

    def read(self) -> model.Chunk:
        self.reads += 1
        return self.chunks.pop(0) if self.chunks else model.Chunk((), None)

    def position(self) -> Any:
        return self.reads

    def close(self) -> None:
        pass


def entries(count: int, size: int = 10) -> list[model.Entry]:
    return [model.Entry(time_ns=n, message="x" * size) for n in range(count)]


def start(reader: Reader, clock: Clock, *, follow: bool) -> AsyncIterator[model.Batch]:
    one = tail.Tail(
        reader, follow=follow, window_ns=250_000_000, seal=str, pool=Inline(), time_source=clock
    )  # fmt: skip
    return one.batches()


async def test_a_quiet_follower_hears_a_heartbeat_every_five_seconds() -> None:
    clock = Clock()
    batches = start(Reader(), clock, follow=True)
    for beat in (1, 2, 3):
        batch = await anext(batches)
        assert not batch.entries and batch.loss is None and batch.token
        assert abs(clock.at - (1000 + beat * tail.HEARTBEAT_SECONDS)) < 0.5


async def test_a_tail_that_does_not_follow_ends_with_a_token() -> None:
    found = [batch async for batch in start(Reader(model.Chunk(entries(3), None)), Clock(), follow=False)]
    assert [len(batch.entries) for batch in found] == [3, 0]
    assert found[-1].token


async def test_nothing_is_read_while_nothing_is_taken() -> None:
    reader = Reader(*[model.Chunk(entries(1), 10**18) for _ in range(50)])
    batches = start(reader, Clock(), follow=True)
    await anext(batches)
    await asyncio.sleep(0)
    assert reader.reads == 1


def test_batches_are_neither_long_nor_large_and_a_loss_stands_alone() -> None:
    assert [len(part) for part in tail.split(entries(1200))] == [500, 500, 200]
    assert [len(part) for part in tail.split(entries(5, size=200_000))] == [2, 2, 1]
    mixed = entries(3)
    mixed[1].loss = "gone"
    assert [len(part) for part in tail.split(mixed)] == [1, 1, 1]
    assert list(tail.split([])) == []
