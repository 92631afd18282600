"""The HTTP server: listens, routes the few paths there are, and sweeps connections that keep it waiting."""

import asyncio
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from runtime import bodies, config, errors, http_heads, mounts, scribe, slabs
from runtime import http_messages as messages
from runtime.dispatch import Dispatcher
from runtime.http_exchange import Exchange
from runtime.http_protocol import Connection

HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
BODY_BYTES_A_SECOND = 500  # at least, of a body that takes longer than that
IDLE_SECONDS = 75.0
STALLED_SECONDS = 60.0
ROOM_SECONDS = 10.0  # for room in memory
HEARTBEAT_SECONDS = 15.0  # of silence in a stream of events
LINGER_SECONDS = 2.0
_SWEEP_SECONDS = 0.5
_BACKLOG = 4096
_JSON = b"application/json"


class HttpDoor:
    """All connections of the replica's HTTP port."""

    def __init__(
        self, settings: config.Settings, dispatcher: Dispatcher, ready: Callable[[], bool],
        engine_info: Callable[[], dict[str, Any]] = dict,
    ) -> None:  # fmt: skip
        self.draining = False
        self.max_body = settings.max_request_bytes
        self.bodies = bodies.Bodies(settings.max_request_bytes)
        self.connections: set[Connection] = set()
        self.date = b""
        self.time = 0.0  # of the last sweep
        self.heads = http_heads.Heads()
        self.slab: slabs.Slab | None = None
        self._unsent = 0  # bytes that callers have not taken, as far as is known
        self.scribe = scribe.Scribe()
        self.last_request = 0.0
        self._settings = settings
        self._dispatcher = dispatcher
        self._ready = ready
        self._engine_info = engine_info
        self._loop = asyncio.get_running_loop()
        self.now = time.monotonic
        self._prefix = os.urandom(8).hex().encode()
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self.mounts = mounts.Mounts()
        self._alias = settings.alias.encode()
        self.port = 0

    async def listen(self) -> None:
        """Raises OSError when the address is taken."""
        self._tick()
        host, port = config.split_address(self._settings.http_address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), backlog=_BACKLOG, family=family)
        self._server = await self._loop.create_server(lambda: Connection(self), sock=sock, backlog=_BACKLOG)
        self.port = sock.getsockname()[1]

    async def sweep(self) -> None:
        """Body of a task: ends connections that exceed a time limit."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._tick()
            now = self.now()
            if self._unsent:
                self._relieve()
            for connection in list(self.connections):
                self._check(connection, now)
                if connection.active is not None and 0 < connection.silent_since < now - HEARTBEAT_SECONDS:
                    connection.active.comment()

    def close(self) -> None:
        """Stops listening and closes what is idle."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()

    @property
    def busy(self) -> bool:
        return any(connection.busy or connection.unsent() for connection in self.connections)

    @property
    def wants_headers(self) -> bool:
        return self._dispatcher.wants_headers

    def takes_encoded(self, path: bytes) -> bool:
        return self.mounts.takes_encoded(self._below_alias(path))

    def new_request_id(self) -> bytes:
        return b"%b%016x" % (self._prefix, next(self._numbers))

    def handle(self, exchange: Exchange) -> None:
        """Routes one request."""
        head, verbs = exchange.head, self._dispatcher.verbs
        self.last_request = exchange.began
        if head.straight and head.verb in verbs:
            self._submit(exchange)
        elif head.preflight is not None:
            exchange.reply(204, messages.preflight(head.preflight), b"")
        elif exchange.path != b"/":
            self._elsewhere(exchange, exchange.path)
        else:
            self._ask(exchange, head.verb, verbs)

    def _ask(self, exchange: Exchange, method: str, verbs: Sequence[str]) -> None:
        if method == "HEAD" and "GET" in verbs:
            exchange.fields[0] = b"GET"
            self._submit(exchange)
        elif method in verbs or not self._dispatcher.offer:
            self._submit(exchange)
        elif method == "OPTIONS":
            exchange.reply(204, [(b"allow", self._allowed())], b"")
        else:
            exchange.on_failure(errors.method_not_allowed(self._allowed().decode()))

    def cancel(self, exchange: Exchange) -> None:
        if exchange.on_cancel is not None:
            exchange.on_cancel()
        self._dispatcher.cancel(exchange)

    def suffice(self, exchange: Exchange, status: int) -> None:
        """The caller wants no more of the answer than it has."""
        self._dispatcher.cancel(exchange, status)

    def on_stalled(self, size: int) -> None:
        """A caller does not take what there is for it. Answers that wait may not fill memory."""
        self._unsent += size
        if self._unsent > self.bodies.limit:
            self._relieve()

    def _relieve(self) -> None:
        """Counts anew, and cuts off those who have taken nothing for longest; who takes anything at all is last."""
        now, stalled = self.now(), [connection for connection in self.connections if connection.stalled_since]
        self._unsent = sum(connection.unsent() for connection in stalled)
        if self._unsent <= self.bodies.limit:
            return
        for connection in stalled:
            self._check_stalled(connection, now)
        for connection in sorted(stalled, key=lambda connection: connection.stalled_since):
            if self._unsent <= self.bodies.limit * 3 // 4:
                break
            self._unsent -= connection.unsent()
            connection.abort()

    def refused(self, status: int, began: float) -> None:
        """A request ended at the door."""
        self._dispatcher.metrics.ended(status, self.now() - began, 0.0)

    def _submit(self, exchange: Exchange) -> None:
        exchange.deadline = self._dispatcher.deadline(exchange.began, exchange.timeout)
        self._dispatcher.submit(exchange)

    def _below_alias(self, path: bytes) -> bytes:
        """The path as the gateway would rewrite it."""
        alias = self._alias
        below = path[len(alias) :]
        return below or b"/" if alias and path.startswith(alias) and below[:1] in (b"", b"/") else path

    def _elsewhere(self, exchange: Exchange, path: bytes) -> None:
        if (inner := self._below_alias(path)) != path:
            exchange.fields[1] = inner
            self.handle(exchange)
            return
        is_read = exchange.method in (b"GET", b"HEAD")
        if exchange.attempt and path.startswith(b"/healthz/"):
            exchange.on_failure(errors.NOT_FOUND)  # for those who look after the replica, not for callers of the API
        elif path == b"/healthz/live" and is_read:
            self._json(exchange, 200, {"live": True})
        elif path == b"/healthz/ready" and is_read:
            ready = self._ready() and not self.draining
            self._json(exchange, 200 if ready else 503, {"ready": ready})
        elif path == b"/info" and is_read and (self._dispatcher.offer or self._engine_info()):
            self._json(exchange, 200, self._info())
        elif self.mounts.serve(exchange, self.refused):
            return
        else:
            exchange.on_failure(errors.NOT_FOUND)

    def _info(self) -> dict[str, Any]:
        settings, offer = self._settings, self._dispatcher.offer
        return {
            "api": settings.api,
            "revision": settings.revision,
            "replica": settings.replica,
            "predictor": {"type": settings.predictor_type, "path": settings.setup["path"], "class": offer.get("class")},
            "methods": list(self._dispatcher.verbs),
            "python_version": offer.get("python"),
            "processes_per_replica": settings.processes,
            "threads_per_process": settings.threads,
            "in_flight": self._dispatcher.in_flight,
            "queued": self._dispatcher.queued,
            **self._engine_info(),
            **({"batching": self._dispatcher.batcher.describe()} if self._dispatcher.batcher is not None else {}),
        }

    @staticmethod
    def _json(exchange: Exchange, status: int, value: dict[str, Any]) -> None:
        exchange.reply(status, [(b"content-type", _JSON)], json.dumps(value).encode())

    def _allowed(self) -> bytes:
        verbs = [*self._dispatcher.verbs, *(["HEAD"] if "GET" in self._dispatcher.verbs else []), "OPTIONS"]
        return ", ".join(verbs).encode()

    def _tick(self) -> None:
        self.time = self.now()
        self.date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()).encode()

    def _check(self, connection: Connection, now: float) -> None:
        if connection.closing_since:
            if now - connection.closing_since > LINGER_SECONDS:
                connection.abort()
        elif connection.stalled_since:
            self._check_stalled(connection, now)
        elif connection.waits_since:
            if now - connection.waits_since > ROOM_SECONDS:
                connection.refuse(errors.BODIES_FULL)
        elif connection.head_since:
            if now - connection.head_since > HEAD_SECONDS:
                connection.refuse(errors.TIMED_OUT)
        elif connection.body_since:
            limit = self._dispatcher.request_timeout
            most = BODY_SECONDS + connection.size / BODY_BYTES_A_SECOND
            late = now - connection.body_since > BODY_SECONDS or now - connection.body_began > most
            if late or (limit and now - connection.began > limit):
                connection.refuse(errors.TIMED_OUT)
        # Not sooner while draining: a request may be on its way, and the response to it asks the caller to close.
        elif not connection.busy and now - connection.idle_since > IDLE_SECONDS:
            self._let_go(connection)

    @staticmethod
    def _let_go(connection: Connection) -> None:
        if connection.unsent():  # too little to count as stalled, but to close would wait for it
            connection.abort()
        else:
            connection.close()

    def _check_stalled(self, connection: Connection, now: float) -> None:
        """A slow reader may be slow; one that takes nothing at all is cut off."""
        size = connection.unsent()
        if size < connection.stalled_size:
            connection.stalled_since, connection.stalled_size = now, size
        elif now - connection.stalled_since > STALLED_SECONDS:
            connection.abort()
