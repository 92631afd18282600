"""The front's end of one worker's sockets: calls out, answers in."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol

from runtime.calls import Call
from runtime.shim import frames

_JOIN_BYTES = 32768
# A worker whose calls are this short gets some ahead of time, so that it does not idle while the front is woken.
# They stay ours until it begins them: what a dead worker had not begun goes to its successor.
_SHORT_MICROS = 500
_AHEAD = 32


Answer = tuple[Call, int, list[bytes], bytes]  # status, fields, body


class Listener(Protocol):
    """Hears what becomes of calls: the dispatcher."""

    def released(self, link: "Link") -> None: ...
    def answered(self, call: Call, status: int, fields: list[bytes], body: bytes) -> None: ...
    def stream_began(self, call: Call, status: int, fields: list[bytes]) -> None: ...
    def stream_ended(self, call: Call, *, broken: bool) -> None: ...


class Keeper(Protocol):
    """Hears how the worker itself does: its slot."""

    def on_loaded(self, offer: Mapping[str, Any]) -> None: ...
    def on_load_failed(self, reason: str, message: str) -> None: ...


class Link(asyncio.Protocol):
    """`calls` holds what the worker has, by number; None where nobody waits for the answer any more."""

    def __init__(self, threads: int, listener: Listener, keeper: Keeper) -> None:
        self.calls: dict[int, Call | None] = {}
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

    @property
    def sent(self) -> int:
        """The number of the newest call."""
        return self._number

    @property
    def busy(self) -> bool:
        """Whether the worker has something to do."""
        return bool(self.calls)

    def connection_made(self, transport: Any) -> None:
        self._data = transport

    def attach_control(self, transport: Any) -> None:
        self._control = transport

    def setup(self, setup: Mapping[str, Any]) -> None:
        self._control.write(frames.pack(frames.SETUP, 0, b"", json.dumps(setup).encode()))

    def send(self, call: Call) -> None:
        idle = not self.calls
        self._number += 1
        call.number = self._number
        self.calls[self._number] = call
        head, body = frames.request_head(call.fields), call.body
        if len(body) > _JOIN_BYTES:
            self._flush()
            self._data.write(frames.pack_start(frames.REQUEST, self._number, head, len(body)))
            self._data.write(body)
        elif idle:
            self._data.write(frames.pack(frames.REQUEST, self._number, head, body))
        else:
            # The worker is busy, so this can leave together with what else comes in this turn of the loop.
            if not self._unsent:
                self._loop.call_soon(self._flush)
            self._unsent.append(frames.pack(frames.REQUEST, self._number, head, body))

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

    def grant(self, number: int, chunks: int) -> None:
        if number in self.calls:
            self._control.write(frames.pack(frames.CREDIT, number, frames.CREDIT_HEAD.pack(chunks)))

    def finish(self) -> None:
        """Asks the worker to end once it has answered what it has."""
        if self._data is not None and not self._data.is_closing():
            self._flush()
            self._data.write_eof()

    def close(self) -> None:
        for transport in (self._data, self._control):
            if transport is not None:
                transport.close()

    def data_received(self, data: bytes) -> None:
        answers: list[Answer] = []
        freed = False
        self.heard += 1
        for kind, number, head, body in self._decoder.feed(data):
            if kind == frames.RESPONSE and number in self.calls:
                freed = self._take_response(number, head, body, answers) or freed
            elif kind == frames.RELEASE and number in self.calls:
                del self.calls[number]
                freed = True
            elif kind == frames.LOADED:
                self._keeper.on_loaded(json.loads(body))
            elif kind == frames.LOAD_FAILED:
                told = json.loads(body)
                self._keeper.on_load_failed(str(told.get("reason")), str(told.get("message")))
            else:
                self._on_stream(kind, number, head, body)
        if freed:
            # First of all, so that the worker has something to do while we answer.
            self._listener.released(self)
            self._flush()
        for call, status, fields, body in answers:
            self._listener.answered(call, status, fields, body)

    def _take_response(self, number: int, head: bytes, body: bytes, answers: list[Answer]) -> bool:
        """Notes the answer, unless nobody waits for it any more. Whether the permit is free."""
        status, flags, micros, fields = frames.parse_response_head(head)
        self._observe(micros)
        call = self.calls[number]
        if call is not None:
            answers.append((call, status, fields, body))
        if flags & frames.HELD:
            self.calls[number] = None
            return False
        del self.calls[number]
        return True

    def _on_stream(self, kind: int, number: int, head: bytes, body: bytes) -> None:
        call = self.calls.get(number)
        if call is None:
            return
        if kind == frames.STREAM_CHUNK:
            call.on_stream_chunk(body)
        elif kind == frames.STREAM_HEAD:
            status, _, _, fields = frames.parse_response_head(head)
            self._listener.stream_began(call, status, fields)
        elif kind in (frames.STREAM_END, frames.STREAM_ERROR):
            self._observe(frames.parse_response_head(head)[2])
            self.calls[number] = None
            self._listener.stream_ended(call, broken=kind == frames.STREAM_ERROR)

    def _observe(self, micros: int) -> None:
        """A single long call closes the window at once; many short ones open it."""
        self.answered = True
        self._micros = micros if micros > 8 * _SHORT_MICROS else 0.9 * self._micros + 0.1 * micros
        self.window = self.threads + _AHEAD if self._micros < _SHORT_MICROS else self.threads
