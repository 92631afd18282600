"""Infer over HTTP without a task: the worker's answer becomes the caller's in the callback that brings it.

A task and a future cost two more turns of the event loop per request, which is most of what a small one costs.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runtime import errors
from runtime.calls import Call
from runtime.inference import InferError, InferResponse
from runtime.mounts import Visit
from runtime.oip import http_response, wire
from runtime.oip.http_request import Regions, Wish
from runtime.shim import frames

if TYPE_CHECKING:
    from runtime.oip.predictor_engine import PredictorEngine
    from runtime.scribe import Scribe


class DirectCall(Call):
    """Answers `visit`. A predictor that yields is heard to the end, and must have yielded once."""

    __slots__ = ("_chunks", "_engine", "_kind", "_regions", "_scribe", "_task", "_visit", "_wish")

    def __init__(self, engine: "PredictorEngine", visit: Visit, wish: Wish, regions: Regions, scribe: "Scribe") -> None:
        super().__init__(visit.exchange.began)
        self._engine = engine
        self._visit = visit
        self._wish = wish
        self._regions = regions
        self._scribe = scribe
        self._task: asyncio.Task[None] | None = None
        self._kind = ""
        self._chunks: list[bytes] | None = None

    def on_response(self, status: int, fields: Sequence[bytes], body: bytes) -> None:
        self.status, self._kind = status, fields[0].decode("latin-1")
        if status < 400:
            self._answer(lambda: wire.response(self._kind, body))
        else:
            self._refuse(status, fields[1].decode("latin-1"), body)

    def on_stream_head(self, status: int, fields: Sequence[bytes]) -> None:
        self._chunks = []

    def on_stream_chunk(self, data: bytes) -> None:
        if self._chunks is not None:
            self._chunks.append(data)
        self.grant(frames.cost(data))

    def on_stream_end(self, *, broken: bool) -> None:
        if broken:
            self.on_failure(errors.BROKEN_STREAM)
        else:
            self._answer(lambda: wire.only(bytearray(b"".join(self._chunks or ()))))

    def on_failure(self, failure: errors.Failure) -> None:
        self._visit.fail(failure)
        self._engine.ended(self, ok=False)

    def _refuse(self, status: int, reason: str, body: bytes) -> None:
        from runtime import grpc_errors  # whose imports a replica without failures and gRPC does not need

        self.on_failure(errors.Failure(status, reason or "UNSPECIFIED", grpc_errors.text(body, self._kind)))

    def _answer(self, read: Callable[[], InferResponse]) -> None:
        try:
            response = self._engine.checked(read())
            if http_response.is_large(response, self._wish):
                self._task = asyncio.ensure_future(self._answer_later(response))
                self._visit.exchange.on_cancel = self._leave
                return
            kind, body, headers = http_response.reply(response, self._wish, self._regions)
        except Exception as problem:
            self._broke(problem)
        else:
            self._visit.reply(200, kind, body, headers)
            self._engine.ended(self, ok=True)

    async def _answer_later(self, response: InferResponse) -> None:
        try:
            told = http_response.large_reply(self._scribe, response, self._wish, self._regions)
            kind, body, headers = await told
        except Exception as problem:
            self._broke(problem)
        else:
            self._visit.reply(200, kind, body, headers)
            self._engine.ended(self, ok=True)

    def _leave(self) -> None:
        """The caller is gone; the worker is done already."""
        if self._task is not None:
            self._task.cancel()
        self._engine.ended(self, ok=False)

    def _broke(self, problem: Exception) -> None:
        if isinstance(problem, InferError):
            self.on_failure(problem.failure)
            return
        self.on_failure(errors.INTERNAL)
        about = {"message": "an answer could not be encoded", "exception": problem}
        asyncio.get_running_loop().call_exception_handler(about)
