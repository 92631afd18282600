"""Calls to one Triton server, and what its answers mean to our callers."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import json_format

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from runtime import errors
from runtime.inference import InferError, InferRequest, InferResponse
from runtime.triton import http_calls, server, wire
from runtime.triton.catalog import VERDICT_SECONDS, Entry
from runtime.triton.engine import LoadError
from runtime.triton.gate import Gate, refusal
from runtime.triton.leavers import Leavers
from runtime.triton.shared_memory import Loan, Regions

_Code = grpc.StatusCode
_UNHEALTHY = re.compile(r"Stub process '(.+)_\d+_\d+' is not healthy")
_TRACEBACK = re.compile(r"\n\s*At:\n|Traceback \(most recent")
_SAMPLED = b"-01"
_HTTP_CODES = {400: _Code.INVALID_ARGUMENT, 404: _Code.NOT_FOUND, 501: _Code.UNIMPLEMENTED, 503: _Code.UNAVAILABLE}
# Beyond our own deadline, which is exact; this one only sees to it that Triton learns of it.
_SLACK = 0.05
_POLL = "failed to poll from model repository"
_FAULT_LOOKS = 200
_TEXTS = ("name", "version", "type")  # of statistics; the rest counts


class Calls:
    """`suspect(model)` hears of answers that only a dead stub gives, `lost(self)` of a connection that broke, and
    `explain` of texts that callers do not see."""

    def __init__(
        self, to: server.Server, suspect: Callable[[str], None], lost: Callable[["Calls"], None],
        explain: Callable[[str, InferRequest], None],
    ) -> None:  # fmt: skip
        self.server = to
        self.regions = Regions(server.SHARED_MEMORY, to.prefix, self._register)
        self.in_flight = 0
        self.cut_off = False  # the connection ended in the middle of a load
        self._changed = asyncio.Event()
        self._numbers = itertools.count(1)
        self._leavers = Leavers(to.left)
        self._suspect = suspect
        self._lost = lost
        self._explain = explain

    async def idle(self) -> None:
        """Waits for the end of all calls."""
        while self.in_flight:
            self._changed.clear()
            await self._changed.wait()

    def _began(self) -> None:
        self.in_flight += 1

    def _ended(self) -> None:
        self.in_flight -= 1
        self._changed.set()

    async def infer(self, entry: Entry, version: str, request: InferRequest, gate: Gate | None = None) -> InferResponse:
        """Cancelled with the task: then Triton hears of it, and until it is done a permit of `gate` stays taken.

        Raises InferError.
        """
        began = time.monotonic()
        self._began()
        try:
            async with self.regions.lend(entry, request) as loan:
                response = await self._ask(entry, version, request, loan, began, gate)
                entry.answered(time.monotonic() - began)
                return response
        finally:
            self._ended()

    async def _ask(
        self, entry: Entry, version: str, request: InferRequest, loan: Loan | None, began: float, gate: Gate | None
    ) -> InferResponse:
        trace = request.traceparent.decode("latin-1") if request.traceparent.endswith(_SAMPLED) else ""
        name = f"{self.server.prefix}{next(self._numbers)}"
        http, left = self.server.http, False
        try:
            exchange = await http.send(request, version, loan, trace, name)
            try:
                return http_calls.response(await exchange.answer(), request.id, loan)
            except asyncio.CancelledError:
                left = True
                self._see_out(name, exchange, entry, loan, began, gate)
                raise
            finally:
                if not left:
                    http.end(exchange)
        except http_calls.Refused as error:
            raise self._refused(error, request, entry, began) from None
        except (OSError, EOFError) as error:
            raise self._failed(_Code.UNAVAILABLE, str(error), request, entry, began) from None

    def _see_out(
        self, name: str, exchange: http_calls.Exchange, entry: Entry, loan: Loan | None, began: float,
        gate: Gate | None,
    ) -> None:  # fmt: skip
        """What its caller has left goes on to its end."""

        def done(answered: bool) -> None:
            self.server.http.end(exchange)
            if loan is not None:
                self.regions.give_back(loan.region, answered=answered)
            if answered:
                entry.answered(time.monotonic() - began)
            if gate is not None:
                gate.leave()
            self._ended()

        self._began()
        if gate is not None:
            gate.keep()
        if loan is not None:
            loan.kept = True
        self._leavers.see_out(name, exchange.answer, entry.patience + VERDICT_SECONDS, done)

    async def stream(self, entry: Entry, version: str, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        """All responses of a decoupled model, or the one of another."""
        message = wire.message(request, version)
        message.parameters["triton_enable_empty_final_response"].bool_param = True
        self._began()
        began = time.monotonic()
        call = self.server.stub.ModelStreamInfer(
            iter((message,)), timeout=_timeout(request), metadata=self._metadata(request)
        )
        try:
            async for told in call:
                if told.error_message:
                    raise self._failed(_Code.INTERNAL, told.error_message, request, entry, began)
                response = wire.response(told.infer_response, request.id)
                entry.answered(0.0)
                yield response
                if response.final:
                    return
        except grpc.aio.AioRpcError as error:
            raise self._failed(error.code(), error.details() or "", request, entry, began) from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise refusal(errors.WORKER_DIED) from None
        finally:
            self._ended()
            call.cancel()

    async def load(self, name: str, timeout: float) -> None:
        """As it lies in the repository. Raises LoadError."""
        self.server.loads += 1
        self.server.faults.pop(name, None)
        told = pb.RepositoryModelLoadRequest(model_name=name)
        try:
            await self.server.stub.RepositoryModelLoad(told, timeout=timeout, metadata=self.server.metadata)
        except grpc.aio.AioRpcError as error:
            self.cut_off |= error.code() in (_Code.UNAVAILABLE, _Code.CANCELLED)
            text = (error.details() or error.code().name).rstrip("\n;")
            raise LoadError(await self._fault(name) if _POLL in text else text) from None

    async def _fault(self, name: str) -> str:
        """What Triton's log says of a folder that it does not take. It was written before the answer, and may not have
        been read yet."""
        for _ in range(_FAULT_LOOKS):
            if name in self.server.faults:
                break
            await asyncio.sleep(0.01)
        return self.server.faults.get(name, "Triton does not take its folder; the log of the API may say why")

    async def unload(self, name: str, *, dependents: bool = False, timeout: float = 10.0) -> None:
        told = pb.RepositoryModelUnloadRequest(model_name=name)
        told.parameters["unload_dependents"].bool_param = dependents
        await self.server.stub.RepositoryModelUnload(told, timeout=timeout, metadata=self.server.metadata)

    async def statistics(self, name: str, version: str) -> Sequence[Mapping[str, Any]]:
        told = pb.ModelStatisticsRequest(name=name, version=version)
        try:
            answer = await self.server.stub.ModelStatistics(told, timeout=5, metadata=self.server.metadata)
        except grpc.aio.AioRpcError as error:
            raise self._failed(error.code(), error.details() or "") from None
        value = json_format.MessageToDict(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return [_counts(told) for told in value["model_stats"]]

    async def _register(self, name: str, key: str, size: int) -> None:
        told = pb.SystemSharedMemoryRegisterRequest(name=name, key=key, offset=0, byte_size=size)
        try:
            await self.server.stub.SystemSharedMemoryRegister(told, timeout=5, metadata=self.server.metadata)
        except grpc.aio.AioRpcError as error:
            raise self._failed(error.code(), error.details() or "") from None

    def _metadata(self, request: InferRequest) -> tuple[tuple[str, str], ...]:
        """The trace goes along only when it is sampled: Triton traces what carries one, whatever its flag says."""
        if request.traceparent.endswith(_SAMPLED):
            return (*self.server.metadata, ("traceparent", request.traceparent.decode("latin-1")))
        return self.server.metadata

    def _refused(self, error: http_calls.Refused, request: InferRequest, entry: Entry, began: float) -> InferError:
        """An answer, so the server lives, whatever its status says."""
        text = str(error)
        if error.status == 503 and "timeout expired" in text:  # of a queue policy in the model's own configuration
            return refusal(errors.DEADLINE)
        if error.status == 503 and "unknown model" not in text:
            return InferError(503, text, "DEPENDENCY_UNAVAILABLE", 1)
        return self._failed(_HTTP_CODES.get(error.status, _Code.INTERNAL), text, request, entry, began)

    def _failed(
        self, code: grpc.StatusCode, text: str, request: InferRequest | None = None, entry: Entry | None = None,
        began: float = 0.0,
    ) -> InferError:  # fmt: skip
        dead = _UNHEALTHY.search(text)
        if dead:
            # Triton takes a second to say so; by then the model may have been replaced. It may be one of an ensemble.
            if entry is not None and began > entry.ready_since:
                self._suspect(dead[1])
            return refusal(errors.WORKER_DIED)
        if code is _Code.DEADLINE_EXCEEDED:
            return refusal(errors.DEADLINE)
        if code in (_Code.INVALID_ARGUMENT, _Code.ALREADY_EXISTS, _Code.OUT_OF_RANGE):
            return InferError(400, text)
        if code in (_Code.UNAVAILABLE, _Code.NOT_FOUND) and request is not None and "unknown model" in text:
            return refusal(errors.NOT_READY)  # a version, or a member of an ensemble, that has just been unloaded
        if code is _Code.NOT_FOUND:
            return InferError(404, text, "NOT_FOUND")
        if code is _Code.UNAVAILABLE or code is _Code.CANCELLED:
            self._lost(self)
            return refusal(errors.WORKER_DIED)
        if code is _Code.UNIMPLEMENTED:
            return InferError(501, text, "UNIMPLEMENTED")
        if request is not None:
            self._explain(text, request)
        # A model that raised: its traceback is for the log. An error that it made itself is for the caller.
        return InferError(500, "internal server error" if _TRACEBACK.search(text) else text, "INTERNAL")


def _timeout(request: InferRequest) -> float | None:
    return max(0.001, request.deadline - time.monotonic()) + _SLACK if request.deadline else None


def _counts(told: Mapping[str, Any]) -> dict[str, Any]:
    """Counters are numbers, as in Triton's own JSON: protobuf's has those of 64 bits as text."""
    found: dict[str, Any] = {}
    for name, value in told.items():
        if isinstance(value, Mapping):
            found[name] = _counts(value)
        elif isinstance(value, list):
            found[name] = [_counts(item) for item in value]
        else:
            found[name] = int(value) if name not in _TEXTS and str(value).isdigit() else value
    return found


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
