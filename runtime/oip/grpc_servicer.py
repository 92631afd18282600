"""`inference.GRPCInferenceService`: the protocol's RPCs, over the same engines as the HTTP paths.

Requests come as bytes and are parsed here, because gRPC would answer those that do not parse with UNKNOWN.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf import message

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from runtime import errors, grpc_errors, grpc_wishes, http_heads, tracing
from runtime.bodies import FREE_BYTES
from runtime.config import Settings
from runtime.http_door import HttpDoor
from runtime.inference import InferError, InferRequest, InferResponse
from runtime.oip import grpc_messages as messages
from runtime.oip import http_response, parameters, shared_memory
from runtime.oip.admin import Admins
from runtime.oip.grpc_service import SERVICE
from runtime.oip.registry import Registry
from runtime.oip.server import EXTENSIONS, NAME, version

_WANTS_FINAL = "triton_enable_empty_final_response"
_IS_FINAL = "triton_final_response"
_NO_SETTINGS = "trace and log settings belong to the platform; see `cortex logs`"


class Visitor:
    """What is known of one RPC beside its message."""

    def __init__(self, context: Any, door: HttpDoor) -> None:
        told = context.invocation_metadata() or ()
        self.headers = {name: value for name, value in told if isinstance(value, str)}
        self.attempt = http_heads.attempt(self.headers.pop(http_heads.ATTEMPT_HEADER.decode(), "").encode())
        self.request_id = self.headers.get("x-request-id", "")[:200] or door.new_request_id().decode()
        self.began = door.now()
        # Such as ipv4:127.0.0.1:40000 or ipv6:%5B::1%5D:40000.
        self.peer = unquote(context.peer()).partition(":")[2].rpartition(":")[0].strip("[]")


class InferenceService:
    """`ready` says whether the replica serves."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        door: HttpDoor,
        ready: Callable[[], bool],
        regions: shared_memory.Regions,
    ) -> None:
        self._regions = regions
        self._settings = settings
        self._registry = registry
        self._door = door
        self._ready = ready
        self._admins = Admins(settings.admin_token_file)

    def handlers(self) -> grpc.GenericRpcHandler:
        rpcs: dict[str, tuple[Any, Callable[[Any, Visitor, Any], Awaitable[message.Message]]]] = {
            "ServerLive": (pb.ServerLiveRequest, self._server_live),
            "ServerReady": (pb.ServerReadyRequest, self._server_ready),
            "ModelReady": (pb.ModelReadyRequest, self._model_ready),
            "ServerMetadata": (pb.ServerMetadataRequest, self._server_metadata),
            "ModelMetadata": (pb.ModelMetadataRequest, self._model_metadata),
            "ModelInfer": (pb.ModelInferRequest, self._model_infer),
            "ModelConfig": (pb.ModelConfigRequest, self._model_config),
            "ModelStatistics": (pb.ModelStatisticsRequest, self._model_statistics),
            "RepositoryIndex": (pb.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": (pb.RepositoryModelLoadRequest, self._load),
            "RepositoryModelUnload": (pb.RepositoryModelUnloadRequest, self._unload),
            "SystemSharedMemoryStatus": (pb.SystemSharedMemoryStatusRequest, self._memory_status),
            "SystemSharedMemoryRegister": (pb.SystemSharedMemoryRegisterRequest, self._memory_register),
            "SystemSharedMemoryUnregister": (pb.SystemSharedMemoryUnregisterRequest, self._memory_unregister),
            "CudaSharedMemoryStatus": (pb.CudaSharedMemoryStatusRequest, _cuda_status),
            "CudaSharedMemoryRegister": (pb.CudaSharedMemoryRegisterRequest, _cuda_register),
            "CudaSharedMemoryUnregister": (pb.CudaSharedMemoryUnregisterRequest, _cuda_unregister),
            "TraceSetting": (pb.TraceSettingRequest, _no_settings),
            "LogSettings": (pb.LogSettingsRequest, _no_settings),
        }
        methods: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(
                functools.partial(self._unary, kind, answer), response_serializer=_serialized
            )
            for name, (kind, answer) in rpcs.items()
        }
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self._stream, response_serializer=_serialized
        )
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _unary(self, kind: Any, answer: Any, data: bytes, context: Any) -> message.Message:
        visitor = Visitor(context, self._door)
        held = 0
        try:
            held = self._hold(len(data))
            told: message.Message = await answer(await self._parsed(kind, data), visitor, context)
            return told
        except InferError as error:
            await grpc_errors.abort(context, error.failure, visitor.request_id)
        finally:
            self._give_back(held)

    # Health and descriptions.

    async def _server_live(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        return pb.ServerReadyResponse(ready=self._ready())

    async def _model_ready(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        return pb.ModelReadyResponse(ready=await self._registry.is_ready(told.name, told.version))

    async def _server_metadata(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        return pb.ServerMetadataResponse(name=NAME, version=version(), extensions=EXTENSIONS)

    async def _model_metadata(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        return messages.metadata(await self._registry.metadata(told.name, told.version))

    async def _model_config(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        return messages.config(await self._registry.config(told.name, told.version))

    async def _model_statistics(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        return messages.statistics(await self._registry.statistics(told.name, told.version))

    # Inference.

    async def _model_infer(self, told: pb.ModelInferRequest, visitor: Visitor, context: Any) -> pb.ModelInferResponse:
        request, places = self._request(told, visitor, context.time_remaining())
        try:
            response = messages.response(self._placed(await self._registry.infer(request), places))
        except InferError as error:
            if not request.counted:
                self._door.refused(error.status, visitor.began)
            raise
        if not request.counted:
            self._door.refused(200, visitor.began)
        # Not a moment before there is an answer: until then the gateway can give the call to another replica.
        await context.send_initial_metadata((("x-request-id", visitor.request_id),))
        return response

    async def _stream(self, incoming: AsyncIterator[bytes], context: Any) -> AsyncIterator[message.Message]:
        """An answer, or several, to each request in turn. What fails is one request, not the stream."""
        visitor = Visitor(context, self._door)
        await context.send_initial_metadata((("x-request-id", visitor.request_id),))
        async for data in incoming:
            visitor.began = self._door.now()
            told, held = pb.ModelInferRequest(), 0
            try:
                held = self._hold(len(data))
                told = await self._parsed(pb.ModelInferRequest, data)
                async for reply in self._responses(told, visitor, context):
                    yield reply
            except InferError as error:
                self._door.last_request = self._door.now()
                about = pb.ModelInferResponse(model_name=told.model_name, model_version=told.model_version, id=told.id)
                yield pb.ModelStreamInferResponse(error_message=str(error), infer_response=about)
            finally:
                self._give_back(held)

    async def _responses(
        self, told: pb.ModelInferRequest, visitor: Visitor, context: Any
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        wants_final = _WANTS_FINAL in told.parameters and told.parameters[_WANTS_FINAL].bool_param
        request, places = self._request(told, visitor, context.time_remaining())
        async for response in self._registry.stream(request):
            if response.final and not response.outputs and not wants_final:
                continue
            yield pb.ModelStreamInferResponse(infer_response=_marked(self._placed(response, places)))

    def _placed(self, response: InferResponse, places: messages.Places) -> InferResponse:
        if places:
            response.outputs = [
                http_response.placed(tensor, places.get(tensor.name), self._regions) for tensor in response.outputs
            ]
        return response

    def _request(
        self, told: pb.ModelInferRequest, visitor: Visitor, remaining: "float | None"
    ) -> tuple[InferRequest, messages.Places]:
        self._door.last_request = began = visitor.began
        told.parameters.pop(_WANTS_FINAL, None)
        try:
            request, places = messages.request(told, lambda: self._regions_for(visitor))
            if places:
                self._regions_for(visitor)
            asked = grpc_wishes.timeout(visitor.headers, remaining)
            limits = [limit for limit in (self._settings.request_timeout, asked) if limit]
            deadline = began + min(limits) if limits else 0.0
            request.deadline = parameters.deadline(request.parameters, began, deadline)
        except InferError as error:
            self._door.refused(error.status, began)
            raise
        request.began, request.request_id, request.attempt = began, visitor.request_id, visitor.attempt
        request.traceparent = tracing.valid(visitor.headers.get("traceparent", "").encode())
        request.headers = visitor.headers
        return request, places

    async def _parsed(self, kind: Any, data: bytes) -> Any:
        if messages.is_large(data) and kind is pb.ModelInferRequest:
            data = await self._door.scribe.ask(messages.plain, data)
        return messages.parsed(kind, data)

    def _hold(self, size: int) -> int:
        """Puts the request on the account of all bodies, as the HTTP door does. Raises InferError when that is full."""
        if size <= FREE_BYTES:
            return 0
        if self._door.bodies.full:
            self._door.refused(errors.BODIES_FULL.status, self._door.now())
            raise InferError(503, errors.BODIES_FULL.text, errors.BODIES_FULL.reason, 1)
        self._door.bodies.keep(None, size)
        return size

    def _give_back(self, size: int) -> None:
        if size:
            self._door.bodies.give_back(size)

    # Shared memory.

    def _regions_for(self, visitor: Visitor) -> shared_memory.Regions:
        shared_memory.check_caller(visitor.peer, visitor.attempt)
        return self._regions

    async def _memory_status(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        reply = pb.SystemSharedMemoryStatusResponse()
        for region in self._regions_for(visitor).status(told.name):
            reply.regions[region["name"]].MergeFrom(pb.SystemSharedMemoryStatusResponse.RegionStatus(**region))
        return reply

    async def _memory_register(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        self._regions_for(visitor).register(told.name, told.key, told.offset, told.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    async def _memory_unregister(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        self._regions_for(visitor).unregister(told.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    # The repository.

    def _check_admin(self, visitor: Visitor) -> None:
        self._admins.check(visitor.headers.get("authorization", ""))

    async def _index(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        self._check_admin(visitor)
        reply = pb.RepositoryIndexResponse()
        for entry in await self._registry.index():
            if entry.state == "READY" or not told.ready:
                reply.models.add(name=entry.name, version=entry.version, state=entry.state, reason=entry.reason)
        return reply

    async def _load(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        self._check_admin(visitor)
        await self._registry.load(_model_name(told), messages.repository_parameters(told.parameters))
        return pb.RepositoryModelLoadResponse()

    async def _unload(self, told: Any, visitor: Visitor, context: Any) -> message.Message:
        self._check_admin(visitor)
        dependents = messages.repository_parameters(told.parameters).get("unload_dependents") is True
        await self._registry.unload(_model_name(told), dependents=dependents)
        return pb.RepositoryModelUnloadResponse()


def _model_name(told: Any) -> str:
    """KServe's copy of the protocol has the model's name where ours has the repository's."""
    return str(told.model_name or told.repository_name)


def _marked(response: InferResponse) -> pb.ModelInferResponse:
    told = messages.response(response)
    told.parameters[_IS_FINAL].bool_param = response.final
    return told


def _serialized(told: message.Message) -> bytes:
    return told.SerializeToString()


async def _cuda_register(told: Any, visitor: Visitor, context: Any) -> message.Message:
    raise InferError(501, "CUDA shared memory is not for callers of an API; send the tensors", "NOT_IMPLEMENTED")


async def _cuda_status(told: Any, visitor: Visitor, context: Any) -> message.Message:
    return pb.CudaSharedMemoryStatusResponse()


async def _cuda_unregister(told: Any, visitor: Visitor, context: Any) -> message.Message:
    return pb.CudaSharedMemoryUnregisterResponse()


async def _no_settings(told: Any, visitor: Visitor, context: Any) -> message.Message:
    raise InferError(501, _NO_SETTINGS, "NOT_IMPLEMENTED")
