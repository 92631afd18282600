"""Predict, as the gateway's bridge sends it, without a coroutine: message in, callbacks, message out.

It means what `grpc_door.Predictions.predict` means. That one serves callers who speak gRPC to the replica itself.
"""

import asyncio
from collections.abc import Sequence

from cortex.runtime.v1 import prediction_service_pb2 as pb
from runtime import errors, grpc_bridge, grpc_errors, grpc_messages, grpc_wishes, tracing
from runtime.calls import Call
from runtime.dispatch import Dispatcher
from runtime.errors import InferError
from runtime.http_exchange import Exchange
from runtime.scribe import INLINE_BYTES, Scribe
from runtime.shim import frames

_CREDIT_STEP = frames.WINDOW // 4


class Prediction(Call):
    """A call whose answer, streamed or not, becomes one message on the exchange it came by."""

    __slots__ = ("_content_type", "_exchange", "_owed", "_parts", "_reason", "_scribe", "_wants_json")

    def __init__(self, exchange: Exchange, request: pb.PredictRequest, scribe: Scribe) -> None:
        super().__init__(exchange.began)
        self._exchange = exchange
        self._scribe = scribe
        self._wants_json = request.WhichOneof("payload") == "json"
        self._parts: list[bytes] = []
        self._owed = 0
        self._content_type = self._reason = b""
        self.attempt = exchange.attempt

    def on_response(self, status: int, fields: Sequence[bytes], body: bytes) -> None:
        content_type = fields[0].decode("latin-1")
        if status >= 400:
            text = grpc_errors.text(body, content_type)
            self._exchange.on_failure(errors.Failure(status, fields[1].decode("latin-1") or "UNSPECIFIED", text))
            return
        if grpc_messages.is_large_answer(body, self._wants_json):
            task = asyncio.ensure_future(self._answer_later(body, content_type))
            self._exchange.on_cancel = task.cancel
        else:
            self._reply(grpc_messages.encoded(body, content_type, self._wants_json))

    async def _answer_later(self, body: bytes, content_type: str) -> None:
        try:
            self._reply(await self._scribe.ask(grpc_messages.encoded, body, content_type, True))
        except InferError as error:
            self.on_failure(error.failure)
        except Exception as problem:  # the worker is done: nobody else would end the exchange
            self.on_failure(errors.INTERNAL)
            about = {"message": "an answer could not be encoded", "exception": problem}
            asyncio.get_running_loop().call_exception_handler(about)

    def _reply(self, answer: bytes) -> None:
        self._exchange.reply(200, [(b"content-type", grpc_bridge.CONTENT_TYPE)], grpc_bridge.framed(answer))

    def on_failure(self, failure: errors.Failure) -> None:
        self._exchange.on_failure(failure)

    def on_stream_head(self, status: int, fields: Sequence[bytes]) -> None:
        self._content_type, self._reason = fields[0], fields[1]

    def on_stream_chunk(self, data: bytes) -> None:
        self._parts.append(data)
        self._owed += frames.cost(data)
        if self._owed >= _CREDIT_STEP:
            owed, self._owed = self._owed, 0
            self.grant(owed)

    def on_stream_end(self, *, broken: bool) -> None:
        if broken:
            self._exchange.on_failure(errors.BROKEN_STREAM)
        else:
            self.on_response(self.status, [self._content_type, self._reason], b"".join(self._parts))


class Predict:
    """The handler of the method's path. Declines what takes long; the bridge has a task for it."""

    def __init__(self, dispatcher: Dispatcher, max_bytes: int, scribe: Scribe) -> None:
        self._dispatcher = dispatcher
        self._max_bytes = max_bytes
        self._scribe = scribe

    def __call__(self, exchange: Exchange) -> bool:
        if grpc_bridge.inflates(exchange):
            return False
        found = grpc_bridge.unframed(bytes(exchange.body), b"", self._max_bytes)
        if isinstance(found, errors.Failure):
            exchange.on_failure(found)
        elif len(found) > INLINE_BYTES and _is_large(found):
            return False
        else:
            self._take(exchange, found)
        return True

    def _take(self, exchange: Exchange, found: bytes) -> None:
        request = grpc_messages.parsed(found)
        verbs = self._dispatcher.verbs
        if request is None:
            exchange.on_failure(errors.NO_MESSAGE)
        elif verbs and "POST" not in verbs:
            exchange.on_failure(errors.method_not_allowed(", ".join(verbs)))
        else:
            try:
                self._submit(exchange, request, *grpc_messages.payload(request))
            except InferError as error:
                exchange.on_failure(error.failure)

    def _submit(self, exchange: Exchange, request: pb.PredictRequest, body: bytes, content_type: str) -> None:
        """Raises InferError."""
        call = Prediction(exchange, request, self._scribe)
        told = exchange.fields
        own = {name.lower(): value for name, value in request.headers.items()}
        headers = {}
        if own or self._dispatcher.wants_headers:
            headers = dict(grpc_bridge.metadata(told)) | own
        traceparent = told[tracing.TRACEPARENT_FIELD]
        if "traceparent" in own:
            traceparent = tracing.valid(own["traceparent"].encode())
        call.priority = grpc_wishes.priority(own, exchange.priority)
        call.body = body
        call.fields = grpc_messages.fields(request, content_type, told[4], traceparent, headers)
        remaining = grpc_bridge.timeout(exchange.header(b"grpc-timeout"))
        call.deadline = self._dispatcher.deadline(exchange.began, grpc_wishes.timeout(own, remaining, exchange.timeout))
        exchange.on_cancel = lambda: self._dispatcher.cancel(call)
        self._dispatcher.submit(call)


def _is_large(data: bytes) -> bool:
    try:
        return grpc_messages.is_large_predict(data)
    except InferError:
        return True
