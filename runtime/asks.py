"""Answers what workers ask of the front (shim/asks.py): a table of handlers by kind, one task per ask."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from runtime.shim import frames


class Refused(Exception):
    """The answer is no; the text reaches the user's code. `kind` names the error for code."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


class Writer(Protocol):
    """The front's end of the control socket, or a fake."""

    def write(self, data: bytes) -> None: ...


Handler = Callable[[dict[str, Any], bytes], Awaitable[tuple[dict[str, Any], bytes]]]


class Asks:
    """Handlers of all kinds; shared by the workers of a replica."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def register(self, kind: str, handler: Handler) -> None:
        """`handler(meta, body)` returns meta and body of the answer, or raises Refused."""
        self._handlers[kind] = handler

    async def answer(self, meta: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Never raises but when cancelled."""
        kind = str(meta.get("kind", ""))
        handler = self._handlers.get(kind)
        try:
            if handler is None:
                raise Refused(f"this replica cannot answer {kind!r}", "unknown")
            return await handler(meta, body)
        except Refused as refused:
            return {"error": str(refused), "error_kind": refused.kind}, b""
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}", "error_kind": "internal"}, b""


class Control(asyncio.Protocol):
    """The control socket of one worker. Open asks end with it."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks
        self._decoder = frames.Decoder()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for kind, number, head, body in self._decoder.feed(data):
            if kind == frames.ASK:
                task = asyncio.ensure_future(self._answer(number, head, body))
                self._tasks[number] = task
                task.add_done_callback(lambda _, number=number: self._tasks.pop(number, None))  # type: ignore[misc]
            elif kind == frames.FORGET and number in self._tasks:
                self._tasks[number].cancel()

    async def _answer(self, number: int, head: bytes, body: bytes) -> None:
        meta, answer = await self._asks.answer(json.loads(head), body)
        if not self._transport.is_closing():
            self._transport.write(frames.pack_start(frames.TOLD, number, json.dumps(meta).encode(), len(answer)))
            self._transport.write(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
