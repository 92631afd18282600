"""The port `Engine` over a repository of models, whoever runs them: Triton, or the embedded engine.

Here is what does not depend on that: which model and version is meant, whether the request fits it, its place in the
queue, its deadline, and what is told about models.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from runtime import errors
from runtime.inference import InferError, InferRequest, InferResponse, ModelMetadata, RepositoryEntry
from runtime.triton import checks, model_config, repository
from runtime.triton.catalog import Catalog, Entry
from runtime.triton.gate import refusal
from runtime.triton.introspection import Introspection
from runtime.triton.repository import Source


class LoadError(Exception):
    """A model could not be loaded; the text says why."""


class Runner(Protocol):
    """Who computes: one call per request that has its permit. An empty `version` is the newest."""

    kind: str

    async def infer(self, entry: Entry, version: str, request: InferRequest) -> InferResponse: ...
    def stream(self, entry: Entry, version: str, request: InferRequest) -> AsyncGenerator[InferResponse, None]: ...
    async def statistics(self, name: str, version: str) -> Sequence[Mapping[str, Any]]: ...
    async def load(self, entry: Entry, *, replaces: bool) -> None:
        """Raises LoadError. What the entry replaces serves until it is up, and on when it cannot be loaded."""
        ...

    async def unload(self, entry: Entry, *, dependents: bool) -> None: ...


class RepositoryEngine:
    """Serves the models of a catalog. `reader` lends the newest files of a model for `load`; it raises InferError."""

    reads_bytes = False  # Triton's stub and our own host trust what they are told of them

    def __init__(
        self, catalog: Catalog, reader: Callable[[str], contextlib.AbstractAsyncContextManager[Source]]
    ) -> None:
        self.catalog = catalog
        # What is done around each inference: a span, where traces are on.
        self.around: Callable[[InferRequest], contextlib.AbstractContextManager[None]] = _nothing
        self._reader = reader
        self._runner: Runner
        self._introspection: Introspection
        self._gpus = 0

    def equip(self, runner: Runner, introspection: Introspection, *, gpus: int = 0) -> None:
        """Who computes; before anything is declared."""
        self._runner, self._introspection, self._gpus = runner, introspection, gpus

    def owns(self, model: str) -> bool:
        return self.catalog.owns(model)

    async def infer(self, request: InferRequest) -> InferResponse:
        entry, version = self._picked(request)
        if model_config.is_decoupled(entry.config):
            return await self._only(entry, version, request)
        with self.around(request):
            return await self._unary(entry, version, request)

    async def _unary(self, entry: Entry, version: str, request: InferRequest) -> InferResponse:
        async with _on_time(entry, request.deadline), entry.gate.permit(request.deadline, _priority(request)):
            return _in_order(entry, request, await self._runner.infer(entry, version, request))

    async def stream(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        entry, version = self._picked(request)
        with self.around(request):
            async for response in self._streamed(entry, version, request):
                yield response

    async def _streamed(self, entry: Entry, version: str, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        responses = self._runner.stream(entry, version, request)
        async with entry.gate.permit(request.deadline, _priority(request)), contextlib.aclosing(responses):
            while True:
                async with _on_time(entry, request.deadline):
                    response = await anext(responses, None)
                if response is None:
                    return
                yield _in_order(entry, request, response)

    async def _only(self, entry: Entry, version: str, request: InferRequest) -> InferResponse:
        """The one response of a decoupled model."""
        got: list[InferResponse] = []
        async with contextlib.aclosing(self.stream(request)) as responses:
            async for response in responses:
                if response.outputs:
                    got.append(response)
        if len(got) != 1:
            text = f"model {entry.name!r} gave {len(got)} responses; ask it for a stream"
            raise InferError(400, text)
        return got[0]

    async def metadata(self, model: str, version: str) -> ModelMetadata:
        entry = self.catalog.find(model)
        entry.pick(version)
        return entry.describe()

    async def config(self, model: str, version: str) -> Mapping[str, Any]:
        entry = self.catalog.find(model)
        entry.pick(version)
        return entry.config

    async def statistics(self, model: str, version: str) -> Sequence[Mapping[str, Any]]:
        if model:
            self.catalog.find(model).pick(version)
        return await self._runner.statistics(model, version)

    async def is_ready(self, model: str, version: str) -> bool:
        entry = self.catalog.find(model)
        entry.pick(version)
        return entry.state == "READY"

    async def index(self) -> Sequence[RepositoryEntry]:
        return self.catalog.index()

    async def load(self, model: str, parameters: Mapping[str, Any]) -> None:
        """Reads the model's files again; `config` replaces its config.pbtxt. Raises InferError."""
        unknown = sorted(set(parameters) - {"config"})
        if unknown:
            raise InferError(400, f"load takes `config` only, not {unknown[0]!r}; a model's files come from its source")
        async with self._reader(model) as source:
            if "config" in parameters:
                try:
                    config = model_config.from_json(str(parameters["config"]))
                except model_config.Invalid as error:
                    raise InferError(400, str(error)) from None
                source = dataclasses.replace(source, config=config)
            await self.put(source)

    async def put(self, source: Source) -> None:
        """Takes a new model, or new files of an old one, into service. Until they are up the old ones serve, and when
        they cannot be loaded, too. Raises InferError 400."""
        old = self.catalog.get(source.name)
        replaces = old is not None and old.state == "READY"
        try:
            entry = self.catalog.make(source, await self._completed(source))
            if not replaces:
                self.catalog.commit(entry)
            await self._runner.load(entry, replaces=replaces)
            self.catalog.commit(entry)
        except (LoadError, model_config.Invalid) as error:
            serves = "; what was there before serves on" if replaces else ""
            raise InferError(400, f"model {source.name!r} cannot be loaded: {error}{serves}") from None

    async def remove(self, name: str) -> None:
        """The model is gone from its source."""
        if (entry := self.catalog.get(name)) is not None:
            entry.gate.give_up(errors.NOT_READY)
            entry.state, entry.reason = "UNAVAILABLE", "removed"
            await self._runner.unload(entry, dependents=False)
        self.catalog.remove(name)

    async def unload(self, model: str, *, dependents: bool) -> None:
        entry = self.catalog.find(model)
        entry.unloaded()
        await self._runner.unload(entry, dependents=dependents)

    async def declare(self, sources: Sequence[Source]) -> None:
        """What there is to load at the start; a model that cannot be is listed with its reason."""
        for source in sources:
            try:
                self.catalog.commit(self.catalog.make(source, await self._completed(source)))
            except model_config.Invalid as error:
                self.catalog.broke(repository.Broken(source.name, str(error)))
        self.catalog.opened = True

    async def _completed(self, source: Source) -> dict[str, Any]:
        newest = source.versions[max(source.versions)]
        config = model_config.complete(source.config, source.name, newest, gpus=self._gpus)
        if model_config.lacks(config):
            told = await self._introspection.describe(model_config.backend(config), newest, config)
            config = model_config.merge(config, told)
        model_config.check(config)
        return config

    def _picked(self, request: InferRequest) -> tuple[Entry, str]:
        entry = self.catalog.find(request.model)
        # Who asks for no version gets the newest of the moment when it is served, not of now.
        version = entry.pick(request.version) if request.version else ""
        if request.deadline and request.deadline <= time.monotonic():
            raise refusal(errors.DEADLINE)
        checks.check(entry, request)
        return entry, version


def _in_order(entry: Entry, request: InferRequest, response: InferResponse) -> InferResponse:
    """Outputs as the caller names them, else as the configuration does: Triton tells a model the names in any order,
    and callers of the bare protocol count."""
    if len(response.outputs) > 1:
        wanted = request.outputs or [str(told["name"]) for told in entry.config.get("output", ())]
        places = {name: place for place, name in enumerate(wanted)}
        response.outputs = sorted(response.outputs, key=lambda tensor: places.get(tensor.name, len(places)))
    return response


def _nothing(request: InferRequest) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


@contextlib.asynccontextmanager
async def _on_time(entry: Entry, deadline: float) -> AsyncIterator[None]:
    """Ends what runs in it at the deadline with 504, exactly; who computes hears of it by the cancellation.

    A model whose callers go without an answer is soon asked for a canary.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(loop.time() + max(0.0, deadline - time.monotonic()) if deadline else None):
            yield
    except asyncio.CancelledError:
        entry.wonder()
        raise
    except TimeoutError:
        entry.wonder()
        raise refusal(errors.DEADLINE) from None


def _priority(request: InferRequest) -> int:
    told = request.parameters.get("priority", 0)
    return told if isinstance(told, int) else 0
