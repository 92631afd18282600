"""HTTP/1.1 on one connection: bytes to exchanges, in order, within limits of size and time.

Everything is synchronous: a request is parsed, dispatched and answered in callbacks, without a task of its own.
"""

import asyncio
import collections
from collections.abc import Sequence
from typing import Any

import httptools

from runtime import errors, http_steps, slabs
from runtime import http_messages as messages
from runtime.bodies import FREE_BYTES
from runtime.http_exchange import Exchange
from runtime.http_heads import MAX_HEAD_BYTES, Head, is_shared, made
from runtime.http_ports import Door

_MAX_PIPELINED = 16


class Connection(asyncio.Protocol):
    """`stalled` is true while the caller does not read."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.stalled = False
        self.active: Exchange | None = None
        self.waiting: collections.deque[Exchange] = collections.deque()  # pipelined behind it
        self.head_since = 0.0  # first byte of a head that is not whole; 0 when there is none
        self.body_since = 0.0  # last byte of a body that is not whole; 0 when there is none
        self.body_began = 0.0
        self.idle_since = door.now()
        self.closing_since = 0.0
        self.waits_since = 0.0  # for room for the rest of a body
        self.stalled_since, self.stalled_size = 0.0, 0
        self.silent_since = 0.0  # last byte of a stream of events, inf in the middle of an event; 0 for other answers
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._pumping = False
        self._refused = False
        self._whole: Head | None = None  # of the last request that was whole
        self._steps = http_steps.Steps()
        self._going_on = False
        self._crowded = False  # too many requests wait behind the active one
        self._reading = True
        self._head_bytes = 0
        self._taken = 0  # bytes of the body on the account of all bodies
        self._begin(0.0)

    @property
    def busy(self) -> bool:
        return self.active is not None or bool(self.waiting) or bool(self.head_since or self.body_since)

    @property
    def peer(self) -> str:
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=256 * 1024)
        self.door.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.door.connections.discard(self)
        self._refused = True
        self._drop_body()
        self._drop_waiting()
        if self.active is not None:
            exchange, self.active = self.active, None
            self._give_back(exchange)
            self.door.cancel(exchange)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._steps.rest:
            self._steps.rest += data
            return
        if self.head_since or self.body_since:
            self._more(data)
            return
        alone = self.active is None and not (self.waiting or self.stalled)
        if alone and (known := self.door.heads.find(data)) is not None and self._serve_known(data, *known):
            return
        self._whole = None
        self._parse(data)
        more = self.head_since or self.body_since or self._chunks or self._steps.rest
        if alone and self._whole is not None and not more:
            self.door.heads.keep(data, self.size, self._whole, self._known, self._fields[::2])

    def _serve_known(self, data: bytes, head: Head, end: int, own: Sequence[bytes]) -> bool:
        """Without the parser. False where the body has to wait for room, or is too large."""
        size = len(data) - end
        if size > self.door.max_body or (size > FREE_BYTES and self.door.bodies.full):
            return False
        self.active = exchange = Exchange(self, self.door.now(), head, own)
        exchange.body = data[end:]
        if size > FREE_BYTES:
            exchange.hold(size)
        self._serve(exchange)
        return True

    def _more(self, data: bytes) -> None:
        """Of a request that had begun."""
        fields, size = self._fields, self.size
        if self.head_since:
            self._head_bytes += len(data)
        in_body = self.body_since
        self._parse(data)
        if in_body and fields is self._fields:
            # What is no body between its chunks or behind it: trailers, above all.
            self._head_bytes = self._head_bytes + len(data) if self.size == size else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self.refuse(errors.HEAD_TOO_LARGE)

    def _fill(self, data: bytes) -> int:
        """A body of known length past the parser, which would copy a large one twice; returns bytes used."""
        left = self._length - self.size
        self.on_body(data[:left] if len(data) > left else data)
        if not self._refused and self.size >= self._length:
            head, self._parser = self._head(), httptools.HttpRequestParser(self)
            self._complete(head)
        return min(left, len(data))

    def _parse(self, data: bytes) -> None:
        """As much as one turn of the event loop has time for."""
        steps, at = self._steps, 0
        steps.begin()
        while at < len(data) and not self._refused:
            if steps.over or self._crowded or self.waits_since:
                steps.rest = data[at:]
                self._read_or_not()
                return
            if self._loan is not None or self._unseen:
                at += self._fill(data[at:])
            else:
                left = self._length - self.size if self._length else 0
                at += self._feed(data[at : at + steps.size(bool(self.body_since), left)])
                if len(self._chunks) > 1:
                    steps.settle(self._chunks)

    def _feed(self, data: bytes) -> int:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # An upgrade is an offer that may be ignored; the request itself was whole, but for a body it may have.
            if not self._unseen:
                self._parser = httptools.HttpRequestParser(self)
            return int(upgrade.args[0])
        except httptools.HttpParserError:
            self.refuse(errors.MALFORMED)
        return len(data)

    def _go_on(self) -> None:
        """With what the turns before had no time for."""
        self._going_on = False
        data, self._steps.rest = self._steps.rest, b""
        if data and not self._refused:
            self._parse(data)
            self._read_or_not()

    def pause_writing(self) -> None:
        self.stalled = True
        self.stalled_since = self.door.now()
        self.stalled_size = self.unsent()
        self.door.on_stalled(self.stalled_size)

    def resume_writing(self) -> None:
        self.stalled = False
        self.stalled_since = 0.0
        if self.active is not None:
            self.active.repay()
        self._pump()

    def on_message_begin(self) -> None:
        self._begin(self.door.now())

    def _begin(self, now: float) -> None:
        self.head_since, self._head_bytes = now, 0
        self._url = b""
        self._fields: list[bytes] = []
        self._known: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._length = 0  # of a body that says it before
        self._loan: slabs.Loan | None = None  # where a large body goes instead
        self._unseen = False  # the parser takes what follows the head for another protocol, though it is a body
        self.size, self.began = 0, now

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.body_since:  # else it is a trailer, which nobody asks for
            self._fields += (name, value)

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        self.head_since, self._head_bytes = 0.0, 0
        self.body_since = self.body_began = self.began
        known = self._read_fields()
        self._length = int(known.get(b"content-length", 0))
        self._unseen = self._length > 0 and self._parser.should_upgrade()
        self._steps.seen = self._steps.joined = 0
        if len(self._url) + sum(map(len, self._fields)) + 2 * len(self._fields) > MAX_HEAD_BYTES:
            self.refuse(errors.HEAD_TOO_LARGE)
        elif self._length > self.door.max_body:
            self.refuse(errors.TOO_LARGE)
        elif b"transfer-encoding" in known and self._parser.should_upgrade():
            self.refuse(errors.MALFORMED)  # nobody would read the body, and what is in it would be a request
        elif (expect := known.get(b"expect")) is not None:
            if expect.lower() != b"100-continue":
                self.refuse(errors.EXPECTATION)
            elif self.active is None:
                self.write(messages.CONTINUE)
        elif self._length >= slabs.LEAST_BYTES and self.door.slab is not None and is_shared(self._url, known):
            self._loan = self.door.slab.take(self._length)

    def _read_fields(self) -> dict[bytes, bytes]:
        """The headers by their names in lower case."""
        fields = self._fields
        if fields:
            fields[::2] = b"\n".join(fields[::2]).lower().split(b"\n")  # no name has a line feed in it
            self._known = dict(zip(fields[::2], fields[1::2], strict=True))
        return self._known

    def on_body(self, data: bytes) -> None:
        if self._refused:
            return
        self.size += len(data)
        self.body_since = self.door.now()
        if self.size > self.door.max_body:
            self.refuse(errors.TOO_LARGE)
        else:
            if self._loan is not None:
                self._loan.fill(data)
            else:
                self._chunks.append(data)
            if self.size > FREE_BYTES:
                self._take()

    def _take(self) -> None:
        """Puts what is here of the body on the account of all bodies, and reads no further when that is full."""
        more, self._taken = self.size - self._taken, self.size
        if not self.door.bodies.take(self, more):
            self.waits_since = self.waits_since or self.door.now()
            self._read_or_not()

    def on_room(self) -> None:
        self.waits_since = 0.0
        # The caller could not send meanwhile, so its time limit begins anew.
        self.body_since = self.body_began = self.door.now()
        self._read_or_not()

    def _drop_body(self) -> None:
        if self._taken:
            self.door.bodies.drop(self, self._taken)
            self._taken = 0
            self.on_room()

    def on_message_complete(self) -> None:
        if self._refused or self._unseen:
            return
        self._whole = head = self._head()
        self._complete(head)

    def _complete(self, head: Head) -> None:
        exchange = Exchange(self, self.began, head)
        if self._loan is not None:
            exchange.body, self._loan = self._loan, None
        else:
            exchange.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks, self._unseen = [], False
        self._steps.request()
        if self._taken:
            exchange.held, self._taken = self._taken, 0
            self.door.bodies.keep(self, exchange.held)
            self.on_room()
        self.body_since = 0.0
        if self.active is None and not (self.waiting or self.stalled):
            self.active = exchange
            self._serve(exchange)
        else:
            self._enqueue(exchange)

    def _head(self) -> Head:
        """From what was parsed."""
        return made(self._parser, self._url, self._known, self._fields, self.door.takes_encoded)

    def refuse(self, failure: errors.Failure) -> None:
        """Answers a request that is not whole; nothing after it on this connection is read."""
        if self._refused:
            return
        self._refused = True
        self._chunks, self._loan, self._steps.rest = [], None, b""
        self._drop_body()
        self.head_since = self.body_since = 0.0
        self._read_fields()
        exchange = Exchange(self, self.began, self._head())
        exchange.failure = failure
        self._enqueue(exchange)

    def _enqueue(self, exchange: Exchange) -> None:
        self.waiting.append(exchange)
        self._pump()
        if len(self.waiting) > _MAX_PIPELINED:
            self._crowded = True
            self._read_or_not()

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        while self.active is None and self.waiting and not self.stalled:
            self.active = self.waiting.popleft()
            self._serve(self.active)
        self._pumping = False
        if self._crowded and not self.waiting:
            self._crowded = False
            self._read_or_not()

    def _serve(self, exchange: Exchange) -> None:
        if exchange.failure is not None:
            exchange.on_failure(exchange.failure)
        else:
            try:
                self.door.handle(exchange)
            except Exception as error:
                self._broke(exchange, error)

    def _broke(self, exchange: Exchange, error: Exception) -> None:
        """A defect of ours; let through, the parser would swallow it and the caller would wait for ever."""
        asyncio.get_running_loop().call_exception_handler({"message": "a request failed", "exception": error})
        if self.active is exchange:
            self.door.cancel(exchange)
            exchange.on_failure(errors.DEFECT)

    def _read_or_not(self) -> None:
        wanted = not (self._crowded or self.waits_since)
        if wanted and self._steps.rest:
            wanted = False
            if not self._going_on:
                self._going_on = True
                asyncio.get_running_loop().call_soon(self._go_on)
        if wanted != self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _give_back(self, exchange: Exchange) -> None:
        if exchange.held:
            self.door.bodies.give_back(exchange.held)
            exchange.held = 0

    def _drop_waiting(self) -> None:
        while self.waiting:
            self._give_back(self.waiting.popleft())

    def finished(self, exchange: Exchange, *, keep: bool, linger: bool = False) -> None:
        """The response of `exchange` is written."""
        if self.active is not exchange:
            return
        self.active = None
        self._give_back(exchange)
        self.idle_since = self.door.time
        if keep:
            if self.waiting:
                self._pump()
        elif linger:
            self._linger()
        else:
            self._drop_waiting()
            self.close()

    def _linger(self) -> None:
        """Closing with unread input would reset the connection and lose the answer (RFC 9112, 9.6)."""
        self._refused = True
        self._drop_waiting()
        self.closing_since = self.door.now()
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self._refused = True
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def unsent(self) -> int:
        return int(self._transport.get_write_buffer_size())
