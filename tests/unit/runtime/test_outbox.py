"""Answers that are held leave together, in order, and in any case soon."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from runtime.shim import frames, outbox


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, outbox.Outbox]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with ours, theirs:
        yield ours, outbox.Outbox(theirs)


def numbers(data: bytes) -> list[int]:
    return [number for _, number, _, _ in frames.Decoder().feed(data)]


def test_held_answers_leave_in_one_piece_and_in_order(pair: tuple[socket.socket, outbox.Outbox]) -> None:
    ours, box = pair
    now = time.perf_counter_ns()
    box.hold(frames.pack(frames.RESPONSE, 1), now)
    box.hold(frames.pack(frames.RESPONSE, 2), now)
    box.send(frames.RESPONSE, 3)
    assert numbers(ours.recv(65536)) == [1, 2, 3]


def test_an_answer_held_behind_a_long_call_leaves_by_itself(pair: tuple[socket.socket, outbox.Outbox]) -> None:
    ours, box = pair
    box.hold(frames.pack(frames.RESPONSE, 7), time.perf_counter_ns())
    assert numbers(ours.recv(65536)) == [7]


def test_an_old_answer_waits_for_no_more(pair: tuple[socket.socket, outbox.Outbox]) -> None:
    ours, box = pair
    now = time.perf_counter_ns()
    box.hold(frames.pack(frames.RESPONSE, 1), now)
    box.hold(frames.pack(frames.RESPONSE, 2), now + 1_000_000)
    ours.setblocking(False)
    assert numbers(ours.recv(65536)) in ([1, 2], [1])


def test_a_large_body_goes_out_behind_what_is_held(pair: tuple[socket.socket, outbox.Outbox]) -> None:
    ours, box = pair
    box.hold(frames.pack(frames.RESPONSE, 1), time.perf_counter_ns())
    box.send(frames.RESPONSE, 2, b"", b"x" * 40_000)
    decoder = frames.Decoder()
    found: list[frames.Frame] = []
    while len(found) < 2:
        found += decoder.feed(ours.recv(65536))
    assert [(number, len(body)) for _, number, _, body in found] == [(1, 0), (2, 40_000)]


def test_an_answer_held_as_the_thread_goes_to_sleep_leaves(pair: tuple[socket.socket, outbox.Outbox]) -> None:
    ours, box = pair

    class Late(threading.Event):
        held = False

        def clear(self) -> None:
            if not self.held:
                self.held = True
                box.hold(frames.pack(frames.RESPONSE, 2), time.perf_counter_ns())
            super().clear()

    box._work = Late()
    box.hold(frames.pack(frames.RESPONSE, 1), time.perf_counter_ns())
    found: list[int] = []
    while len(found) < 2:
        found += numbers(ours.recv(65536))
    assert found == [1, 2]
