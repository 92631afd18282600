"""Which engine has which model: the Engine of engines that the protocol's doors talk to."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from runtime.inference import Engine, InferError, InferRequest, InferResponse, ModelMetadata, RepositoryEntry

_INLINE_BYTES = 32 * 1024


class Member(Engine, Protocol):
    """An engine that says whether a model is its own, without waiting."""

    reads_bytes: bool  # whether it checks the elements inside BYTES tensors itself

    def owns(self, model: str) -> bool: ...


async def _check_elements(engine: Member, request: InferRequest) -> None:
    """What is said of the elements inside BYTES tensors has killed servers, so an engine gets none that is untrue."""
    if engine.reads_bytes:
        return
    for tensor in request.inputs:
        if tensor.datatype == "BYTES":
            from runtime.oip import tensors  # with msgspec, which a front that answers no tensors does not need

            if len(tensor.data) <= _INLINE_BYTES:
                tensors.check_bytes(tensor)
            else:
                await asyncio.to_thread(tensors.check_bytes, tensor)


class Registry:
    """Engines in the order in which they are asked."""

    def __init__(self) -> None:
        self._engines: list[Member] = []

    def add(self, engine: Member) -> None:
        self._engines.append(engine)

    def of(self, model: str) -> Member:
        """Raises InferError 404."""
        if not model:
            raise InferError(400, "the request names no model")
        for engine in self._engines:
            if engine.owns(model):
                return engine
        # Begun with Triton's words, which its clients look for.
        told = f"Request for unknown model: there is no {model[:80]!r} here; /v2/repository/index lists all to admins"
        raise InferError(404, told, "NOT_FOUND")

    async def infer(self, request: InferRequest) -> InferResponse:
        engine = self.of(request.model)
        await _check_elements(engine, request)
        return await engine.infer(request)

    async def stream(self, request: InferRequest) -> AsyncIterator[InferResponse]:
        engine = self.of(request.model)
        await _check_elements(engine, request)
        responses = engine.stream(request)
        try:
            async for response in responses:
                yield response
        finally:
            close = getattr(responses, "aclose", None)
            if close is not None:
                await close()

    async def metadata(self, model: str, version: str) -> ModelMetadata:
        return await self.of(model).metadata(model, version)

    async def config(self, model: str, version: str) -> Mapping[str, Any]:
        return await self.of(model).config(model, version)

    async def statistics(self, model: str, version: str) -> Sequence[Mapping[str, Any]]:
        if model:
            return await self.of(model).statistics(model, version)
        return [entry for engine in self._engines for entry in await engine.statistics("", "")]

    async def is_ready(self, model: str, version: str) -> bool:
        return await self.of(model).is_ready(model, version)

    async def index(self) -> Sequence[RepositoryEntry]:
        return [entry for engine in self._engines for entry in await engine.index()]

    async def load(self, model: str, parameters: Mapping[str, Any]) -> None:
        try:
            await self.of(model).load(model, parameters)
        except InferError as error:  # with Triton's words here, too
            text = f"failed to load {model[:80]!r}: {error}"
            raise InferError(error.status, text, error.reason, error.retry_after, error.headers) from None

    async def unload(self, model: str, *, dependents: bool) -> None:
        await self.of(model).unload(model, dependents=dependents)
