"""Responses that only know how to send themselves, as ASGI applications: files, event sources, a user's own.

They run in an event loop, so asyncio is imported by then: no start of a worker waits for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

# Their parts can be read without running them.
_PLAIN = ("Response.__call__", "StreamingResponse.__call__")


def sends_itself(value: Any) -> bool:
    if not isinstance(getattr(value, "status_code", None), int):
        return False
    import inspect  # here, as few predictors return a framework's responses

    call = getattr(type(value), "__call__", None)  # noqa: B004  # not whether, but how
    if not inspect.iscoroutinefunction(call):
        return False
    return getattr(call, "__qualname__", "") not in _PLAIN


async def chunks(response: Any, request: Any, answer: Any) -> AsyncIterator[bytes]:
    """Runs it. Before the first item, `answer` has its status and headers; `send` waits until each part is taken."""
    import asyncio

    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def send(message: Any) -> None:
        queue.put_nowait(message)
        await queue.join()

    async def run() -> None:
        try:
            await response(_scope(request), _receive, send)
        finally:
            queue.put_nowait(None)

    task = asyncio.ensure_future(run())
    try:
        while True:
            message = await queue.get()
            if message is None:
                await task
                return
            if message["type"] == "http.response.start":
                answer.begin(message["status"], [(_text(n), _text(v)) for n, v in message.get("headers", ())])
            elif message["type"] == "http.response.body":
                if message.get("body"):
                    yield bytes(message["body"])
                if not message.get("more_body"):
                    return
            queue.task_done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def _scope(request: Any) -> dict[str, Any]:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.pairs()]
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "scheme": "http",
        "method": request.method, "path": request.path, "raw_path": request.path.encode("latin-1"), "root_path": "",
        "query_string": request.query.encode("latin-1"), "headers": headers, "client": None, "server": None,
    }  # fmt: skip


async def _receive() -> Any:
    """The body is read already, and a caller who leaves cancels us."""
    import asyncio

    await asyncio.Event().wait()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
