"""The front's end of one worker's sockets: calls out, answers in, and who of them holds a permit."""

import asyncio
import collections
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from runtime import slabs
from runtime.calls import Call
from runtime.shim import frames, shared

_JOIN_BYTES = 32768
# A worker whose calls are this short gets some ahead of time, so that it does not idle while the front is woken.
# They stay ours until it begins them: what a dead worker had not begun goes to its successor.
_SHORT_MICROS = 500
_AHEAD = 32
# Calls that a worker may have prepared, or be preparing, beyond those that it runs.
_PREPARED = 4


Answer = tuple[Call, int, list[bytes], bytes]  # status, fields, body


class Listener(Protocol):
    """Hears what becomes of calls: the dispatcher."""

    def released(self, link: "Link") -> None: ...
    def answered(self, call: Call, status: int, fields: list[bytes], body: bytes) -> None: ...
    def broke(self, call: Call, problem: Exception) -> None: ...
    def stream_began(self, call: Call, status: int, fields: list[bytes]) -> None: ...
    def stream_ended(self, call: Call, *, broken: bool) -> None: ...
    def batch_ended(self, size: int, micros: int) -> None: ...


class Keeper(Protocol):
    """Hears how the worker itself does: its slot."""

    def on_loaded(self, offer: Mapping[str, Any]) -> None: ...
    def on_load_failed(self, reason: str, message: str) -> None: ...


class Link(asyncio.Protocol):
    """`calls` holds what the worker has, by number; None where nobody waits for the answer any more.

    Whether a call computes is another matter: `permits` holds the numbers that do, a batch under that of its first
    call; `preparing` those whose payload is being prepared; `ready` those that wait in the worker for a permit.
    """

    def __init__(self, threads: int, listener: Listener, keeper: Keeper) -> None:
        self.calls: dict[int, Call | None] = {}
        self.permits: set[int] = set()
        self.preparing: set[int] = set()
        self.ready: collections.deque[int] = collections.deque()
        self.prepares = False  # the predictor has something to do with a payload before it needs a permit
        self.window = threads
        self.threads = threads
        self.answered = False  # anything at all
        self.closed = False  # to new calls
        self.leaving = False  # and told to end once it is idle
        self.heard = 0  # how often; it changes while the worker gets on
        self._listener = listener
        self._keeper = keeper
        self._decoder = frames.Decoder()
        self._data: Any = None
        self._control: Any = None
        self._number = 0
        self._unsent: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._micros = 1e6  # smoothed length of a call
        self._granted: dict[int, int] = {}  # chunks that a stream may have sent, where more than the window
        self._parked: set[int] = set()  # streams that wait for credit
        self._lent: dict[int, slabs.Loan] = {}
        self.batches: dict[int, int] = {}  # sizes of batches, by the number of the first call

    @property
    def sent(self) -> int:
        """The number of the newest call."""
        return self._number

    @property
    def busy(self) -> bool:
        """Whether the worker has something to compute."""
        return bool(self.permits or self.preparing)

    @property
    def abandoned(self) -> list[int]:
        """What computes though nobody waits for it any more; a batch is abandoned when all of its calls are."""
        return [first for first in self.permits if self._is_abandoned(first)]

    def _is_abandoned(self, first: int) -> bool:
        """Calls that have been answered, or were left out of the batch, are not among the calls any more."""
        members = [self.calls.get(first + n, self) for n in range(self.batches.get(first, 1))]
        return None in members and all(call is None or call is self for call in members)

    @property
    def load(self) -> int:
        return len(self.permits) + len(self.preparing)

    @property
    def running(self) -> int:
        """Calls that it runs, in batches or alone."""
        return len(self.permits) + len(self.preparing) - len(self.batches) + sum(self.batches.values())

    def has_room(self, alone: bool) -> bool:
        """Whether it may get a call. Ahead of time only where there is no other worker that could become free first."""
        if self.closed:
            return False
        if self.prepares:
            return len(self.preparing) < self.threads + _PREPARED
        return len(self.permits) < (self.window if alone else self.threads)

    def has_room_for_batch(self, alone: bool) -> bool:
        """The only worker may have one at hand besides those that it runs. Few are prepared at a time: what leaves
        early leaves in small batches."""
        if self.closed:
            return False
        if self.prepares:
            return len(self.preparing) < 1 + self.threads
        return len(self.permits) < self.threads + alone

    def connection_made(self, transport: Any) -> None:
        self._data = transport

    def attach_control(self, transport: Any) -> None:
        self._control = transport

    def setup(self, setup: Mapping[str, Any]) -> None:
        self._control.write(frames.pack(frames.SETUP, 0, b"", json.dumps(setup).encode()))

    def send(self, call: Call) -> None:
        idle = not self.permits
        self._number += 1
        call.number = self._number
        self.calls[self._number] = call
        (self.preparing if self.prepares else self.permits).add(self._number)
        if isinstance(call.body, slabs.Loan):
            self._later(self._shared(self._number, call, call.body))
            return
        head, body = frames.request_head(call.fields), call.body
        if len(body) > _JOIN_BYTES:
            self._flush()
            self._data.write(frames.pack_start(frames.REQUEST, self._number, head, len(body)))
            self._data.write(body)
        elif idle:
            self._data.write(frames.pack(frames.REQUEST, self._number, head, body))
        else:
            # The worker is busy, so this can leave together with what else comes in this turn of the loop.
            self._later(frames.pack(frames.REQUEST, self._number, head, body))

    def send_one(self, call: Call) -> None:
        """A batch of one: an ordinary request, whose time is noted as a batch's."""
        self.batches[self._number + 1] = 1
        self.send(call)

    def send_batch(self, batch: Sequence[Call]) -> None:
        """Several calls that the predictor gets as one, under one permit and in one piece."""
        first = self._number + 1
        (self.preparing if self.prepares else self.permits).add(first)
        self.batches[first] = len(batch)
        parts = [frames.pack(frames.BATCH, first, frames.COUNT_HEAD.pack(len(batch)))]
        for number, call in enumerate(batch, first):
            call.number = number
            self.calls[number] = call
            if isinstance(call.body, slabs.Loan):
                parts.append(self._shared(number, call, call.body))
            else:
                parts.append(frames.pack(frames.REQUEST, number, frames.request_head(call.fields), call.body))
        self._number = first + len(batch) - 1
        self._flush()
        self._data.write(b"".join(parts))

    def _shared(self, number: int, call: Call, body: slabs.Loan) -> bytes:
        """A request whose body is where the worker can see it. It stays ours until the worker says anything of it."""
        self._lent[number] = body
        place = shared.PLACE.pack(body.offset, body.size)
        return frames.pack(frames.REQUEST | frames.SHARED, number, frames.request_head(call.fields), place)

    def go(self) -> None:
        """Gives a permit to who has waited longest in the worker for one."""
        number = self.ready.popleft()
        self.preparing.discard(number)
        self.permits.add(number)
        wanted = number in self.batches or self.calls.get(number) is not None
        chunks = self._granted.get(number, frames.WINDOW) if wanted else 0
        self._later(frames.pack(frames.GO, number, frames.CREDIT_HEAD.pack(chunks)))

    def _later(self, data: bytes) -> None:
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            if not self._data.is_closing():
                self._data.write(b"".join(unsent))

    def abandon(self, number: int) -> None:
        """Nobody waits any more. The permit comes back when the worker says so."""
        if number in self.calls:
            self.calls[number] = None
            self._control.write(frames.pack(frames.CANCEL, number))
            self._unpark(number)

    def grant(self, number: int, chunks: int) -> None:
        if number in self.calls:
            total = self._granted[number] = self._granted.get(number, frames.WINDOW) + chunks
            if not self._unpark(number):
                self._control.write(frames.pack(frames.CREDIT, number, frames.CREDIT_HEAD.pack(total)))

    def _unpark(self, number: int) -> bool:
        """A parked stream wants to compute again, be it only to close what the user left open."""
        if number not in self._parked:
            return False
        self._parked.discard(number)
        self.ready.append(number)
        self._listener.released(self)
        return True

    def finish(self) -> None:
        """Asks the worker to end once it has answered what it has."""
        if self._data is not None and not self._data.is_closing():
            self._flush()
            self._data.write_eof()

    def close(self) -> None:
        for transport in (self._data, self._control):
            if transport is not None:
                transport.close()

    def lose_all(self) -> dict[int, Call | None]:
        """The worker is dead. Returns the calls it had."""
        calls, self.calls = self.calls, {}
        for held in (self.permits, self.preparing, self.ready, self._granted, self._parked, self._lent, self.batches):
            held.clear()
        return calls

    def data_received(self, data: bytes) -> None:
        answers: list[Answer] = []
        freed = False
        self.heard += 1
        for kind, number, head, body in self._decoder.feed(data):
            if self._lent:
                self._lent.pop(number, None)
            if kind == frames.RESPONSE and number in self.calls:
                freed = self._take_response(number, head, body, answers) or freed
            elif kind == frames.RELEASE:
                self._take_release(number, head)
                freed = True
            elif kind == frames.PARKED:
                self._take_parked(number, head)
                freed = True
            elif kind == frames.LOADED:
                self._keeper.on_loaded(json.loads(body))
            elif kind == frames.LOAD_FAILED:
                told = json.loads(body)
                self._keeper.on_load_failed(str(told.get("reason")), str(told.get("message")))
            else:
                self._on_stream(kind, number, head, body)
        if freed or self.leaving:  # whose last answer may come behind its permit
            # First of all, so that the worker has something to do while we answer.
            self._listener.released(self)
            self._flush()
        if answers:
            self._hand_on(answers)

    def _hand_on(self, answers: list[Answer]) -> None:
        """Were this to raise, the loop would close the socket, and all that the worker has would be lost."""
        for call, status, fields, body in answers:
            try:
                self._listener.answered(call, status, fields, body)
            except Exception as problem:
                self._listener.broke(call, problem)

    def _take_response(self, number: int, head: bytes, body: bytes, answers: list[Answer]) -> bool:
        """Notes the answer, unless nobody waits for it any more. Whether the permit is free."""
        status, flags, micros, fields = frames.parse_response_head(head)
        self.answered = True
        call = self.calls.pop(number)
        if call is not None:
            answers.append((call, status, fields, body))
        if flags & frames.HELD:
            return False
        self._observe(micros)
        self.permits.discard(number)
        self.preparing.discard(number)
        if self.batches and self.batches.pop(number, 0):
            self._listener.batch_ended(1, micros)
        return True

    def _take_release(self, number: int, head: bytes) -> None:
        self.permits.discard(number)
        self.preparing.discard(number)
        if self.calls.get(number, self) is None:
            del self.calls[number]
            self._granted.pop(number, None)
            if number in self.ready:
                self.ready.remove(number)
        size = self.batches.pop(number, 0)
        for member in range(number, number + size if self._lent else 0):
            self._lent.pop(member, None)
        if size and head:
            self._listener.batch_ended(size, frames.MICROS_HEAD.unpack(head)[0])

    def _take_parked(self, number: int, head: bytes) -> None:
        self.permits.discard(number)
        known = frames.CREDIT_HEAD.unpack(head)[0]
        waits = number not in self.preparing and self.calls.get(number) is not None
        if waits and self._granted.get(number, frames.WINDOW) <= known:
            self._parked.add(number)
        else:
            self.ready.append(number)

    def _on_stream(self, kind: int, number: int, head: bytes, body: bytes) -> None:
        call = self.calls.get(number)
        try:
            self._take_stream(call, kind, number, head, body)
        except Exception as problem:
            if call is None:
                raise
            self._listener.broke(call, problem)

    def _take_stream(self, call: Call | None, kind: int, number: int, head: bytes, body: bytes) -> None:
        if kind in (frames.STREAM_END, frames.STREAM_ERROR):
            self.answered = True
            self._observe(frames.parse_response_head(head)[2])
            self._granted.pop(number, None)
            self.calls.pop(number, None)
            if call is not None:
                self._listener.stream_ended(call, broken=kind == frames.STREAM_ERROR)
        elif call is None:
            return
        elif kind == frames.STREAM_CHUNK:
            call.on_stream_chunk(body)
        elif kind == frames.STREAM_HEAD:
            status, _, _, fields = frames.parse_response_head(head)
            self._listener.stream_began(call, status, fields)

    def _observe(self, micros: int) -> None:
        """A single long call closes the window at once; many short ones open it."""
        self._micros = micros if micros > 8 * _SHORT_MICROS else 0.9 * self._micros + 0.1 * micros
        self.window = self.threads + _AHEAD if self._micros < _SHORT_MICROS else self.threads
