"""The Engine over the predictor's workers: the API is one model, under its own name, in the version `1`."""

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from runtime import slabs
from runtime.calls import Call
from runtime.config import Settings
from runtime.dispatch import Dispatcher
from runtime.inference import InferError, InferRequest, InferResponse, ModelMetadata, RepositoryEntry, TensorMetadata
from runtime.oip import datatypes, parameters, tensors, wire
from runtime.oip.statistics import Statistics
from runtime.oip.worker_call import WorkerCall

VERSION = "1"
_PLATFORM = "cortex_python"


class PredictorEngine:
    """Gives requests to the dispatcher as the HTTP door does, with tensors for a payload."""

    reads_bytes = True  # in the worker, which has to take the elements apart anyway

    def __init__(self, settings: Settings, dispatcher: Dispatcher) -> None:
        self.name = settings.short_name
        self._settings = settings
        self._dispatcher = dispatcher
        self._statistics = Statistics(self.name, VERSION)
        self._described: tuple[Any, ModelMetadata] | None = None

    def owns(self, model: str) -> bool:
        return model == self.name

    async def infer(self, request: InferRequest) -> InferResponse:
        call = self._submit(request, *wire.request(request))
        try:
            await call.opened()
            if not call.streams:
                response = self.checked(wire.response(call.content_type, await call.answer()))
            else:
                response = await self._only(call)
        finally:
            self._end(call)
        return response

    async def stream(self, request: InferRequest) -> AsyncIterator[InferResponse]:
        call = self._submit(request, *wire.request(request))
        try:
            await call.opened()
            if not call.streams:
                yield self.checked(wire.response(call.content_type, await call.answer()))
                return
            async for response in wire.responses(call.parts()):
                yield self.checked(response)
            call.check()
            yield InferResponse(self.name, VERSION, request.id, [])
        finally:
            self._end(call)

    async def ask(self, request: InferRequest, body: bytes, accept: str) -> WorkerCall:
        """The predictor's own answer to a JSON payload. Give the call back to `done`."""
        call = self._submit(request, b"application/json", body, accept)
        try:
            await call.opened()
        except BaseException:
            self._end(call)
            raise
        return call

    def done(self, call: WorkerCall) -> None:
        self._end(call)

    async def metadata(self, model: str, version: str) -> ModelMetadata:
        self._check(model, version)
        return self._metadata()

    async def config(self, model: str, version: str) -> Mapping[str, Any]:
        self._check(model, version)
        told, batching = self._metadata(), self._settings.batching
        return {
            "name": self.name,
            "platform": _PLATFORM,
            "backend": "cortex",
            "version_policy": {"latest": {"num_versions": 1}},
            # Sizes in the lists below are whole shapes, so by this form's rules there is no batch dimension to add.
            "max_batch_size": 0,
            "input": [_config(tensor) for tensor in told.inputs],
            "output": [_config(tensor) for tensor in told.outputs],
            "instance_group": [{"name": self.name, "kind": "KIND_CPU", "count": self._settings.processes}],
            "parameters": {"server_side_batching": {"string_value": str(batching.size)}} if batching else {},
        }

    async def statistics(self, model: str, version: str) -> Sequence[Mapping[str, Any]]:
        if model:
            self._check(model, version)
        return [self._statistics.entry()]

    async def is_ready(self, model: str, version: str) -> bool:
        self._check(model, version)
        return bool(self._dispatcher.offer)

    async def index(self) -> Sequence[RepositoryEntry]:
        if self._dispatcher.offer:
            return [RepositoryEntry(self.name, VERSION, "READY")]
        return [RepositoryEntry(self.name, VERSION, "LOADING", "its workers are still starting")]

    async def load(self, model: str, parameters: Mapping[str, Any]) -> None:
        self._check(model, "")
        if parameters:
            told = f"model {model!r} is the API itself and takes no {next(iter(parameters))!r}; deploy a new revision"
            raise InferError(400, told)

    async def unload(self, model: str, *, dependents: bool) -> None:
        self._check(model, "")
        raise InferError(400, f"model {model!r} is the API itself and cannot be unloaded; delete the API")

    def _check(self, model: str, version: str) -> None:
        if model != self.name:
            raise InferError(404, f"there is no model {model[:80]!r}; this API serves {self.name!r}", "NOT_FOUND")
        if version not in ("", VERSION):
            told = f"model {model!r} has no version {version[:40]!r}; it has {VERSION!r}"
            raise InferError(404, told, "NOT_FOUND")

    def _metadata(self) -> ModelMetadata:
        offer = self._dispatcher.offer
        if self._described is None or self._described[0] is not offer:
            inputs, outputs = _described(offer.get("inputs", ())), _described(offer.get("outputs", ()))
            self._described = offer, ModelMetadata(self.name, (VERSION,), _PLATFORM, inputs, outputs)
        return self._described[1]

    def begin(self, request: InferRequest, call: Call) -> None:
        """Submits `call`, which hears of its own end. Raises InferError when it is not even submitted."""
        self._give(call, request, *wire.request(request))

    def leave(self, call: Call) -> None:
        """The caller of `begin` has left."""
        self._dispatcher.cancel(call)
        self.ended(call, ok=False)

    def ended(self, call: Call, *, ok: bool) -> None:
        self._statistics.ended(time.monotonic() - call.began, call.queued_for, ok=ok)

    def _submit(
        self, request: InferRequest, content_type: bytes, body: "bytes | slabs.Loan", accept: str = ""
    ) -> WorkerCall:
        call = WorkerCall(request.began)
        self._give(call, request, content_type, body, accept)
        return call

    def _give(
        self, call: Call, request: InferRequest, content_type: bytes, body: "bytes | slabs.Loan", accept: str = ""
    ) -> None:
        self._check(request.model, request.version)
        tensors.check_declared(request, self._metadata())
        if self._dispatcher.verbs and "POST" not in self._dispatcher.verbs:
            raise InferError(400, f"model {self.name!r} has no predict() or handle_post()", "NOT_IMPLEMENTED")
        path = b"/v2/models/%b/versions/1/infer" % self.name.encode()
        call.fields = [b"POST", path, b"", content_type, request.request_id.encode(), request.traceparent]
        if accept:
            call.fields += (b"accept", accept.encode())
        if self._dispatcher.wants_headers:
            for name, value in request.headers.items():
                if name != "accept":
                    told = value.replace("\0", "").encode("latin-1", "replace")
                    call.fields += (name.encode("latin-1", "replace"), told)
        call.body, call.attempt, call.deadline = body, request.attempt, request.deadline
        call.priority = parameters.priority(request.parameters)
        if self._settings.batching is not None:
            call.signature = tuple((tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in request.inputs)
        request.counted = True
        self._dispatcher.submit(call)

    def _end(self, call: WorkerCall) -> None:
        self._dispatcher.cancel(call)
        self.ended(call, ok=call.failure is None and 200 <= call.status < 400)

    async def _only(self, call: WorkerCall) -> InferResponse:
        """The single response of a predictor that yields."""
        whole = await call.answer()
        call.check()
        return self.checked(wire.only(bytearray(whole)))

    @staticmethod
    def checked(response: InferResponse) -> InferResponse:
        for tensor in response.outputs:
            if not wire.fits(tensor):
                told = f"output {tensor.name!r} ({tensor.datatype}) is not as large as its shape {list(tensor.shape)}"
                raise InferError(500, told, "PREDICTOR_FAILED")
        return response


def _described(told: Iterable[Mapping[str, Any]]) -> tuple[TensorMetadata, ...]:
    return tuple(TensorMetadata(tensor["name"], tensor["datatype"], tuple(tensor["shape"])) for tensor in told)


def _config(tensor: TensorMetadata) -> dict[str, Any]:
    return {"name": tensor.name, "data_type": datatypes.config_name(tensor.datatype), "dims": list(tensor.shape)}
