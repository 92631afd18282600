"""A stream that breaks goes on; one that stays broken is given up."""

from collections.abc import Iterator

import pytest

from cortex_client import exceptions, streams


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_it_goes_on_after_a_break() -> None:
    clock = Clock()
    parts = [[1, 2], [3], [4]]
    told: list[exceptions.CortexError] = []

    def start() -> Iterator[int]:
        part = parts.pop(0)
        yield from part
        if parts:
            raise exceptions.Unavailable("gone")

    found = streams.resuming(start, give_up_after=10, on_break=told.append, clock=clock, sleep=clock.sleep)
    assert list(found) == [1, 2, 3, 4]
    assert len(told) == 2
    assert all(pause < 0.2 for pause in clock.pauses), "a message resets the back-off"


def test_it_gives_up_with_the_last_error() -> None:
    clock = Clock()

    def start() -> Iterator[int]:
        raise exceptions.Unavailable("gone")
        yield 0

    with pytest.raises(exceptions.Unavailable, match="gone"):
        list(streams.resuming(start, give_up_after=10, clock=clock, sleep=clock.sleep))
    assert 10 < clock.now < 20


def test_errors_that_no_second_try_mends_are_raised_at_once() -> None:
    clock = Clock()

    def start() -> Iterator[int]:
        raise exceptions.NotFound("no such API")
        yield 0

    with pytest.raises(exceptions.NotFound):
        list(streams.resuming(start, give_up_after=10, clock=clock, sleep=clock.sleep))
    assert clock.pauses == []


def test_one_that_never_was_open_is_given_up_soon() -> None:
    clock = Clock()

    def start() -> Iterator[int]:
        raise exceptions.Unavailable("nobody there")
        yield 0

    with pytest.raises(exceptions.Unavailable):
        list(streams.resuming(start, give_up_after=300, first_within=1.0, clock=clock, sleep=clock.sleep))
    assert 1 < clock.now < 3


def test_a_long_silence_is_no_break() -> None:
    clock = Clock()
    told: list[exceptions.CortexError] = []
    attempts = 0

    def start() -> Iterator[int]:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            clock.now += 3600.0
        if attempts < 5:
            raise exceptions.Unavailable("restarting")
        yield 7

    stream = streams.resuming(
        start, give_up_after=300, first_within=1.0, on_break=told.append, clock=clock, sleep=clock.sleep
    )
    assert list(stream) == [7]
    assert len(told) == 1, "one break, however many tries it takes"
