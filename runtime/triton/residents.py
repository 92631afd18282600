"""The models of a predictor of a framework type, loaded when they are needed.

Each state of a model's files has a name of its own in the engine, so that a new one comes up beside the old one and
takes over at once, and a broken one changes nothing.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import pathlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from runtime.config import Batching
from runtime.inference import InferError, InferRequest, InferResponse
from runtime.models.catalog import LATEST, ModelError
from runtime.models.repository import Repository, Resolved
from runtime.triton import model_config, neuron
from runtime.triton.catalog import Entry
from runtime.triton.engine import RepositoryEngine
from runtime.triton.repository import Source

_BACKENDS = {"onnx": "onnxruntime", "tensorflow": "tensorflow"}
# Longest wait for a model in use to become idle where the memory limits allow no other.
_ROOM_SECONDS = 30.0


@dataclasses.dataclass(slots=True)
class Resident:
    """A model that is loaded. `name` is what the engine calls it."""

    name: str
    resolved: Resolved
    users: int = 0
    used: float = 0.0


class Residents:
    """`folder` is ours to lay out files in."""

    def __init__(
        self, engine: RepositoryEngine, models: Repository, folder: pathlib.Path, *, kind: str,
        batching: Batching | None, processes: int, cores: tuple[int, int], gpus: int,
        say: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._models = models
        self._folder = folder
        self._backend = _BACKENDS[kind]
        self._batching = batching
        self._processes = processes
        self._cores = cores
        self._gpus = gpus
        self._say = say
        self._numbers = itertools.count(1)
        self._loaded: dict[str, Resident] = {}  # by generation
        self._serving: dict[tuple[str, str], Resident] = {}  # by name and version as they are asked for
        self._loading: dict[str, asyncio.Task[Resident]] = {}
        self._evictions: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()

    async def infer(self, model: str | None, version: str, request: InferRequest) -> InferResponse:
        """Raises InferError."""
        async with self._lent(model, version) as resident:
            request.model = resident.name
            response = await self._engine.infer(request)
            response.model, response.version = resident.resolved.name, resident.resolved.version
            return response

    async def describe(self, model: str | None, version: str) -> tuple[Resolved, Entry]:
        async with self._lent(model, version) as resident:
            return resident.resolved, self._engine.catalog.find(resident.name)

    async def preload(self) -> None:
        """What is not left for later. Raises InferError."""
        if self._models.declared.is_lazy:
            return
        for name in self._models.catalog.names:
            async with self._lent(name, LATEST):
                pass

    async def follow(self) -> None:
        """Brings up new files of models in use, until cancelled."""
        seen = self._models.sequence
        while True:
            seen = await self._models.changed(seen)
            for key in list(self._serving):
                with contextlib.suppress(ModelError):
                    if self._models.find(*key).generation not in self._loaded:
                        await self._replace(key)
            self._drop_unused()

    def release(self) -> None:
        for resident in self._loaded.values():
            self._models.release(resident.resolved)
        self._loaded.clear()

    # Inside.

    @contextlib.asynccontextmanager
    async def _lent(self, model: str | None, version: str) -> AsyncIterator[Resident]:
        try:
            name = self._models.find(model, version).name
        except ModelError as error:
            raise _refused(error) from None
        resident = self._serving.get((name, version)) or await self._replace((name, version))
        resident.users += 1
        resident.used = time.monotonic()
        try:
            yield resident
        finally:
            resident.users -= 1
            if not resident.users:
                self._room.set()

    async def _replace(self, key: tuple[str, str]) -> Resident:
        """The best there is for `key`, loaded; what cannot be loaded is reported, and the next best tried."""
        while True:
            try:
                resolved = await self._models.resolve(*key)
            except ModelError as error:
                raise _refused(error) from None
            try:
                resident = await self._load(resolved)
            except InferError as error:
                old = self._serving.get(key)
                self._models.failed(resolved, str(error))
                self._models.release(resolved)
                if old is not None:
                    return old
                if self._models.find(*key).generation == resolved.generation:
                    raise
                continue
            if resident.resolved is not resolved:
                self._models.release(resolved)  # it was here already, under another version's name
            self._serving[key] = resident
            return resident

    async def _load(self, resolved: Resolved) -> Resident:
        """Several who ask share one load."""
        found = self._loaded.get(resolved.generation)
        if found is not None:
            return found
        task = self._loading.get(resolved.generation)
        if task is None:
            task = asyncio.ensure_future(self._bring_up(resolved))
            self._loading[resolved.generation] = task
            task.add_done_callback(lambda _: self._loading.pop(resolved.generation, None))
        return await asyncio.shield(task)

    async def _bring_up(self, resolved: Resolved) -> Resident:
        await self._make_room(resolved)
        name = f"{resolved.name}-{resolved.version}-{next(self._numbers)}"
        try:
            source = await asyncio.to_thread(self._source, name, resolved)
            await self._engine.put(source)
        except (model_config.Invalid, OSError) as error:
            raise InferError(
                503, f"model {resolved.name!r} cannot be loaded: {error}", "DEPENDENCY_UNAVAILABLE"
            ) from None
        except InferError:
            await self._engine.remove(name)
            raise
        self._models.loaded(resolved)
        resident = self._loaded[resolved.generation] = Resident(name, resolved, used=time.monotonic())
        self._say("info", f"model {resolved.name}/{resolved.version} was loaded")
        return resident

    def _source(self, name: str, resolved: Resolved) -> Source:
        """The files under the names that the engines look for, by links."""
        target = self._folder / name / "1"
        target.mkdir(parents=True)
        path = pathlib.Path(resolved.path)
        config: dict[str, Any] = {"backend": self._backend, "parameters": {}}
        if self._backend == "onnxruntime":
            # Beside the file may lie what it refers to: external data.
            for each in [path] if path.is_file() else path.iterdir():
                (target / each.name).symlink_to(each.resolve())
            names = sorted(each.name for each in target.iterdir() if each.suffix == ".onnx" or path.is_file())
            config["default_model_filename"] = names[0]
        else:
            saved = path if path.is_dir() else path.parent
            root = next((each.parent for each in sorted(saved.rglob("saved_model.pb"))), saved)
            (target / "model.savedmodel").symlink_to(root.resolve(), target_is_directory=True)
        if resolved.signature_key:
            config["parameters"]["signature_key"] = {"string_value": resolved.signature_key}
        kind = "KIND_GPU" if self._gpus else "KIND_CPU"
        config["instance_group"] = [{"kind": kind, "count": self._processes}]
        config["max_batch_size"] = 0
        if self._batching is not None:
            config["max_batch_size"] = self._batching.size
            config["dynamic_batching"] = {"max_queue_delay_microseconds": int(self._batching.interval * 1e6)}
        return neuron.placed(Source(name, {1: target}, config), self._cores, self._processes)

    async def _make_room(self, resolved: Resolved) -> None:
        """Raises InferError when all that the memory limits allow is in use."""
        declared = self._models.declared
        count, most = declared.cache_size, declared.memory_budget
        deadline = time.monotonic() + _ROOM_SECONDS
        while self._loaded and (
            (count and len(self._loaded) >= count)
            or (most and sum(each.resolved.bytes for each in self._loaded.values()) + resolved.bytes > most)
        ):
            idle = [each for each in self._loaded.values() if not each.users]
            if idle:
                await self._evict(min(idle, key=lambda each: each.used))
                continue
            self._room.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._room.wait()
            except TimeoutError:
                text = "every model that models.cache_size or memory_budget allows in memory is in use"
                raise InferError(503, text, "QUEUE_FULL", 5) from None

    def _drop_unused(self) -> None:
        """Old states of models nobody asks for any more."""
        used = list(self._serving.values())
        for resident in list(self._loaded.values()):
            if resident not in used and not resident.users:
                task = asyncio.ensure_future(self._evict(resident))
                self._evictions.add(task)
                task.add_done_callback(self._evictions.discard)

    async def _evict(self, resident: Resident) -> None:
        if self._loaded.pop(resident.resolved.generation, None) is None:
            return
        for key in [key for key, each in self._serving.items() if each is resident]:
            del self._serving[key]
        await self._engine.remove(resident.name)
        self._models.release(resident.resolved)


def _refused(error: ModelError) -> InferError:
    return InferError(error.status, str(error), "NOT_FOUND" if error.status == 404 else "DEPENDENCY_UNAVAILABLE")
