"""Room for request bodies: who may read on, who waits, and that nobody waits for nothing."""

import pytest

from runtime import bodies


class FakeReader:
    def __init__(self) -> None:
        self.told = 0

    def on_room(self) -> None:
        self.told += 1


@pytest.fixture
def room() -> bodies.Bodies:
    made = bodies.Bodies(max_request_bytes=1)
    made.limit = 100
    return made


def test_the_limit_leaves_room_for_two_of_the_largest() -> None:
    assert bodies.Bodies(1024).limit == bodies.LEAST_BYTES
    assert bodies.Bodies(2**30).limit == 2**31


def test_half_bodies_cannot_block_each_other(room: bodies.Bodies) -> None:
    one, two, three = FakeReader(), FakeReader(), FakeReader()
    assert room.take(one, 60)
    assert room.take(two, 60)  # beyond the limit, but one must get on
    assert not room.take(three, 10)
    assert not room.take(one, 10)
    assert room.take(two, 60)
    room.drop(two, 120)
    assert (three.told, one.told, room.used) == (1, 1, 80)


def test_whole_bodies_are_waited_for(room: bodies.Bodies) -> None:
    one, two, three = FakeReader(), FakeReader(), FakeReader()
    assert room.take(one, 90)
    room.keep(one, 90)
    assert not room.take(two, 60)
    assert not room.take(three, 60)
    room.give_back(90)
    # Both halves together are still too much: the first of them goes on, the other waits for it.
    assert (two.told, three.told) == (1, 0)
    assert room.take(two, 500)
    room.keep(two, 560)
    assert three.told == 0
    room.give_back(560)
    assert (three.told, room.used, room.full) == (1, 60, False)


def test_a_body_that_came_at_once_counts_as_well(room: bodies.Bodies) -> None:
    room.keep(None, 150)
    reader = FakeReader()
    assert room.full and not room.take(reader, 10)
    room.give_back(150)
    assert (reader.told, room.used) == (1, 10)
