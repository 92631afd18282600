"""One request and its response on an HTTP connection."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runtime import errors, slabs
from runtime import http_messages as messages
from runtime.calls import NEW, Call
from runtime.http_heads import Head
from runtime.shim import frames

if TYPE_CHECKING:
    from runtime.http_protocol import Connection

_JOIN_BYTES = 65536
_BETWEEN_EVENTS = (b"\n\n", b"\r\n\r\n")
_COMMENT = b":\n\n"
_CREDIT_STEP = frames.WINDOW // 4


class Exchange(Call):
    """A call whose answer is written to its connection."""

    __slots__ = (
        "_connection", "_owed", "_own", "_sent_head", "failure", "head", "held", "keep_alive", "on_cancel", "on_room",
    )  # fmt: skip

    def __init__(self, connection: "Connection", began: float, head: Head, own: Sequence[bytes] = ()) -> None:
        """`own`: the values of the headers `head.own`, where the head is one that this request shares with others."""
        # All that Call.__init__ does, without the call of it: this is done for every request.
        self.attempt = head.attempt
        self.began = began
        self.fields = fields = head.fields.copy()
        if own:
            if head.id_at >= 0:
                fields[4] = own[head.id_at]
            if head.trace_at >= 0:
                fields[5] = own[head.trace_at]
        if not fields[4]:
            fields[4] = connection.door.new_request_id()
        if connection.door.wants_headers or fields[1] != b"/":
            fields += head.headers
            for at, which in head.places:
                fields[at] = own[which]
        else:
            fields += head.kept
        self.body: bytes | slabs.Loan = b""
        self.deadline = 0.0
        self.priority = head.priority
        self.signature = None
        self.stage = NEW
        self.link = None
        self.number = 0
        self.queued_for = 0.0
        self.status = 0
        self.timer = None
        self.span = None
        self._connection = connection
        self.head = head
        self._own = own
        self.keep_alive = head.keep_alive
        self.failure = head.failure  # decided before the request was whole
        self.held = 0  # bytes of the body on the account of all bodies
        # Of a path that a task answers (mounts.py): what ends the task, and what tells it that the caller reads again.
        self.on_cancel: Callable[[], object] | None = None
        self.on_room: Callable[[], object] | None = None
        self._sent_head = False
        self._owed = 0

    @property
    def timeout(self) -> float | None:
        return self.head.timeout

    def header(self, name: bytes) -> bytes:
        """A request header by its lower-case name; empty when absent."""
        found = self.head.known.get(name)
        if found is None and name in self.head.own:
            found = self._own[self.head.own.index(name)]
        return found or b""

    @property
    def method(self) -> bytes:
        return self.fields[0]

    @property
    def stalled(self) -> bool:
        """Whether the caller has stopped reading, so that more would only fill memory."""
        return self._connection.stalled

    @property
    def crowded(self) -> bool:
        """Whether there is no room for more request bytes."""
        return self._connection.door.bodies.full

    def hold(self, size: int) -> None:
        """Puts what the body became on the account of all bodies, until the answer is written."""
        self._connection.door.bodies.keep(None, size)
        self.held += size

    @property
    def peer(self) -> str:
        """The address at the other end of the connection: the caller's, or the gateway's."""
        return self._connection.peer

    @property
    def path(self) -> bytes:
        return self.fields[1]

    def on_response(self, status: int, fields: Sequence[bytes], body: bytes) -> None:
        if status == 200 and len(fields) == 3 and self._reply_plain(fields[0], body):
            return
        lines = [(b"content-type", fields[0])] if fields[0] else []
        lines += zip(fields[3::2], fields[4::2], strict=True)
        self.reply(status, lines, body)

    def _reply_plain(self, content_type: bytes, body: bytes) -> bool:
        """What nearly every answer is, with the same bytes as from `reply`, put together once. False where there is
        more to say than that."""
        connection = self._connection
        if not self.head.plain or len(body) > _JOIN_BYTES or connection.door.draining or not self.keep_alive:
            return False
        connection.write(
            b"%b%d\r\nx-request-id: %b\r\ndate: %b\r\n\r\n%b"
            % (messages.plain_head(content_type), len(body), self.fields[4], connection.door.date, body)
        )
        connection.finished(self, keep=True)
        return True

    def on_failure(self, failure: errors.Failure) -> None:
        if self._connection.active is not self:
            return  # it is answered: what failed came after that, and a second answer would be the next request's
        if self._sent_head:
            self._connection.finished(self, keep=False)
            return
        if self.stage is NEW and self.on_cancel is None:
            self._connection.door.refused(failure.status, self.began)
        if failure.close:
            self.keep_alive = False
        if self.head.grpc:
            from runtime import grpc_bridge  # whose imports a replica without gRPC callers does not need

            lines = [(b"content-type", grpc_bridge.CONTENT_TYPE), *grpc_bridge.failed(failure, self.request_id)]
            self.reply(200, lines, b"", linger=failure.close)
            return
        lines = [(b"content-type", b"application/json")]
        if failure.retry_after:
            lines.append((b"retry-after", b"%d" % failure.retry_after))
        lines += [(name.encode(), value.encode()) for name, value in failure.headers]
        self.reply(failure.status, lines, failure.body(self.request_id), linger=failure.close)

    def reply(self, status: int, lines: list[tuple[bytes, bytes]], body: bytes, *, linger: bool = False) -> None:
        """Sends a whole response and ends the exchange."""
        if (
            status == 200
            and len(lines) == 1
            and lines[0][0] == b"content-type"
            and self._reply_plain(lines[0][1], body)
        ):
            return
        connection = self._connection
        keep = self.keep_alive and not connection.door.draining
        if messages.has_body(status):
            lines.append((b"content-length", b"%d" % len(body)))
        else:
            body = b""
        data = self._head_bytes(status, lines, keep)
        if self.head.head_only:
            connection.write(data)
        elif len(body) <= _JOIN_BYTES:
            connection.write(data + body)
        else:
            connection.write(data)
            connection.write(body)
        connection.finished(self, keep=keep, linger=linger)

    def on_stream_head(self, status: int, fields: Sequence[bytes]) -> None:
        lines = [(b"content-type", fields[0])] if fields[0] else []
        lines += zip(fields[3::2], fields[4::2], strict=True)
        events = fields[0].startswith(b"text/event-stream")
        if events and not any(name.lower() == b"cache-control" for name, _ in lines):
            lines.append((b"cache-control", b"no-cache"))
        if self.head.old:
            self.keep_alive = False  # the end of the connection is the end of the body
        else:
            lines.append((b"transfer-encoding", b"chunked"))
        self._sent_head = True
        self._connection.silent_since = self._connection.door.now() if events else 0.0
        keep = self.keep_alive and not self._connection.door.draining
        self._connection.write(self._head_bytes(status, lines, keep))
        if self.head.head_only:
            self._connection.door.suffice(self, status)
            self._connection.finished(self, keep=keep)

    def on_stream_chunk(self, data: bytes) -> None:
        connection = self._connection
        connection.write(data if self.head.old else messages.chunk(data))
        if connection.silent_since:
            connection.silent_since = connection.door.now() if data.endswith(_BETWEEN_EVENTS) else math.inf
        self._owed += frames.cost(data)
        if self._owed >= _CREDIT_STEP:
            self.repay()

    def comment(self) -> None:
        """Something for proxies that cut silent connections; readers of events skip it."""
        connection = self._connection
        if self._sent_head and connection.silent_since:
            connection.write(_COMMENT if self.head.old else messages.chunk(_COMMENT))
            connection.silent_since = connection.door.now()

    def repay(self) -> None:
        """Grants the worker as many chunks as the caller has taken; waits while the caller is slow."""
        if self.on_room is not None and not self._connection.stalled:
            self.on_room()
        if self._owed and not self._connection.stalled:
            owed, self._owed = self._owed, 0
            self.grant(owed)

    def on_stream_end(self, *, broken: bool) -> None:
        keep = self.keep_alive and not broken and not self._connection.door.draining
        if not broken and not self.head.old:
            self._connection.write(messages.LAST_CHUNK)
        self._connection.finished(self, keep=keep)

    def _head_bytes(self, status: int, lines: list[tuple[bytes, bytes]], keep: bool) -> bytes:
        connection = b""
        if self.head.old or not keep:
            connection = b"connection: %b\r\n" % (b"keep-alive" if keep else b"close")
        if self.head.cross_origin and not any(name.lower() == b"access-control-allow-origin" for name, _ in lines):
            connection += messages.CROSS_ORIGIN
        return b"%b%bx-request-id: %b\r\ndate: %b\r\n\r\n" % (
            messages.head(status, lines), connection, self.fields[4], self._connection.door.date
        )  # fmt: skip
