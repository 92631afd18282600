"""Calls of the predictor on behalf of a visit to `/v1`, and their answers item by item."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from runtime import errors
from runtime.awaited import AwaitedCall
from runtime.dispatch import Dispatcher
from runtime.mounts import Visit
from runtime.openai import problems

_DROPPED = (b"accept", b"content-length", b"transfer-encoding")
_LINES = "application/x-ndjson"


class Prediction:
    """One call. `passed` when the predictor answered with a content type of its own, which goes to the caller as it is.

    Use as a context: at its end, whatever the reason, the call is over and its worker free.
    """

    def __init__(self, dispatcher: Dispatcher, visit: Visit, body: bytes, say: Callable[[str, str], None]) -> None:
        exchange = visit.exchange
        self._dispatcher = dispatcher
        self._say = say
        self.call = call = AwaitedCall(exchange.began)
        fields = exchange.fields
        # Each item of a generator on a line of its own, so that strings and dicts keep apart.
        call.fields = [b"POST", b"/", fields[2], b"application/json", *fields[4:6], b"accept", _LINES.encode()]
        for at in range(6, len(fields) - 1, 2):
            if fields[at] not in _DROPPED:
                call.fields += fields[at : at + 2]
        call.body = body
        call.attempt = exchange.attempt
        call.deadline = dispatcher.deadline(exchange.began, exchange.timeout)
        call.priority = exchange.priority
        visit.counted = True

    async def __aenter__(self) -> "Prediction":
        """Returns once the answer has begun. Raises Problem when it is a failure."""
        try:
            self._dispatcher.submit(self.call)
            await self.call.opening
            if self.call.refused:
                await self._refuse()
        except BaseException:
            self._dispatcher.cancel(self.call)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._dispatcher.cancel(self.call)

    async def _refuse(self) -> None:
        call = self.call
        self._raise_failure()
        raise problems.of_answer(call.status, call.reason, await call.answer(), call.headers)

    def _raise_failure(self) -> None:
        if self.call.failure is not None:
            raise problems.of_failure(self.call.failure)

    @property
    def passed(self) -> bool:
        call = self.call
        if call.streams:
            return call.content_type != _LINES
        return not call.content_type.startswith(("application/json", "text/plain", "application/octet-stream"))

    @property
    def waiting(self) -> bool:
        """Whether the next item is here already."""
        return self.call.waiting

    async def items(self) -> AsyncIterator[Any]:
        """What the predictor yielded, or the one thing it returned. Raises Problem when it breaks off."""
        if self.call.streams:
            async for item in self._lines():
                yield item
        else:
            body = await self.call.answer()
            is_json = self.call.content_type.startswith("application/json")
            yield self._parse(body) if is_json else body.decode("utf-8", "replace")
        self._raise_failure()

    async def _lines(self) -> AsyncIterator[Any]:
        rest = b""
        async for part in self.call.parts():
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                yield self._parse(line)

    def _parse(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            self.broke(f"its answer is no JSON: {error}")
            raise problems.of_failure(errors.INTERNAL) from None

    def broke(self, text: str) -> None:
        """The predictor does not follow the contract: said in its log, under the id that the caller has."""
        self._say("error", f"request {self.call.request_id}: {text} (docs/reference/openai.md)")
