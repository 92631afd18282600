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
from collections.abc import AsyncIterator, Callable, Iterator
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
_ROOM_SECONDS = 60.0
_NEVER_FITS = 507


@dataclasses.dataclass(slots=True, eq=False)
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
        self._loading: dict[str, asyncio.Task[Resident | None]] = {}
        self._awaited: list[str] = []  # generations that a request is about to use, once for each
        self._passing: list[int] = []  # bytes of what is coming or going, which takes its room, too
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
        seen, wanted = self._models.sequence, self._models.shelf.wanted
        while True:
            seen = await self._models.changed(seen)
            before, wanted = wanted, self._models.shelf.wanted
            if wanted > before and (idle := self._longest_unused()) is not None:
                await self._evict(idle)  # others need the room that its files take on the disk
            for key in list(self._serving):
                await self._refresh(key)
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
                if self._serving.get((name, version)) is not resident:  # it was replaced while it was in use
                    self._drop_unused()

    async def _refresh(self, key: tuple[str, str]) -> None:
        old = self._serving.get(key)
        try:
            wanted = self._models.find(*key)
            if old is None or old.resolved.generation == wanted.generation:
                return
            if wanted.generation in self._loaded or not self._is_over(wanted.bytes) or self._longest_unused():
                await self._replace(key)
            else:  # no room for both: the next request waits until the old one is idle, and loads the new one
                self._serving.pop(key, None)
        except ModelError:
            self._serving.pop(key, None)  # it is gone from its source
        except InferError as error:
            self._say("error", str(error))

    async def _replace(self, key: tuple[str, str]) -> Resident:
        """The best there is for `key`, loaded; what cannot be loaded is reported, and the next best tried."""
        while True:
            wanted = self._find(key)
            try:
                resident = await self._load(key, wanted)
            except InferError as error:
                if (old := self._serving.get(key)) is not None:
                    if error.status == _NEVER_FITS:
                        self._say("error", f"{error}; what was there before serves on")
                    return old
                if self._find(key).generation == wanted.generation:
                    raise
                continue
            if resident is not None:
                self._serving[key] = resident
                return resident

    def _find(self, key: tuple[str, str]) -> Resolved:
        try:
            return self._models.find(*key)
        except ModelError as error:
            raise _refused(error) from None

    async def _load(self, key: tuple[str, str], wanted: Resolved) -> Resident | None:
        """Several who ask share one load. None when there was something better in the end."""
        generation = wanted.generation
        if (found := self._loaded.get(generation)) is not None:
            return found
        task = self._loading.get(generation)
        if task is None:
            task = self._loading[generation] = asyncio.ensure_future(self._bring_up(key, wanted))
            task.add_done_callback(lambda done: self._settled(generation, done))
        self._awaited.append(generation)
        try:
            return await asyncio.shield(task)
        finally:
            self._awaited.remove(generation)
            self._room.set()

    def _settled(self, generation: str, done: "asyncio.Task[Resident | None]") -> None:
        del self._loading[generation]
        if not done.cancelled():
            done.exception()  # everybody who wanted to know may have left

    async def _bring_up(self, key: tuple[str, str], wanted: Resolved) -> Resident | None:
        """First room in memory, then the files: who waits for room keeps none on the disk."""
        await self._make_room(wanted)
        with self._taking(wanted.bytes):
            try:
                resolved = await self._models.resolve(*key)
            except ModelError as error:
                raise _refused(error) from None
            resident = None
            try:
                if resolved.generation == wanted.generation:
                    resident = await self._start(resolved)
                    self._serving[key] = resident
                return resident
            finally:
                if resident is None:
                    self._models.release(resolved)

    async def _start(self, resolved: Resolved) -> Resident:
        name = f"{resolved.name}-{resolved.version}-{next(self._numbers)}"
        try:
            source = await asyncio.to_thread(self._source, name, resolved)
            await self._engine.put(source)
        except (model_config.Invalid, OSError) as error:
            told = f"model {resolved.name!r} cannot be loaded: {error}"
            self._models.failed(resolved, told)
            raise InferError(503, told, "DEPENDENCY_UNAVAILABLE") from None
        except InferError as error:
            self._models.failed(resolved, str(error))
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

    async def _make_room(self, wanted: Resolved) -> None:
        """Raises InferError when all that the memory limits allow is in use, and for what never fits."""
        most = self._models.declared.memory_budget
        if most and wanted.bytes > most:
            title = f"{wanted.name}/{wanted.version}"
            text = f"model {title} has {wanted.bytes} bytes, more than models.memory_budget ({most})"
            raise InferError(_NEVER_FITS, text, "DEPENDENCY_UNAVAILABLE")
        deadline = time.monotonic() + _ROOM_SECONDS
        while self._is_over(wanted.bytes):
            idle = self._longest_unused()
            if idle is not None:
                await self._evict(idle)
                continue
            self._room.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._room.wait()
            except TimeoutError:
                text = "every model that models.cache_size or memory_budget allows in memory is in use"
                raise InferError(503, text, "QUEUE_FULL", 5) from None

    def _is_over(self, size: int) -> bool:
        count, most = self._models.declared.cache_size, self._models.declared.memory_budget
        used = sum(each.resolved.bytes for each in self._loaded.values()) + sum(self._passing)
        return bool((count and len(self._loaded) + len(self._passing) >= count) or (most and used + size > most))

    def _longest_unused(self) -> Resident | None:
        idle = [each for each in self._loaded.values() if self._is_idle(each)]
        return min(idle, key=lambda each: each.used, default=None)

    def _is_idle(self, resident: Resident) -> bool:
        return not resident.users and resident.resolved.generation not in self._awaited

    @contextlib.contextmanager
    def _taking(self, size: int) -> Iterator[None]:
        self._passing.append(size)
        try:
            yield
        finally:
            self._passing.remove(size)
            self._room.set()

    def _drop_unused(self) -> None:
        """Old states of models nobody asks for any more."""
        used = set(self._serving.values())
        for resident in list(self._loaded.values()):
            if resident not in used and self._is_idle(resident):
                task = asyncio.ensure_future(self._evict(resident))
                self._evictions.add(task)
                task.add_done_callback(self._evictions.discard)

    async def _evict(self, resident: Resident) -> None:
        if self._loaded.pop(resident.resolved.generation, None) is None:
            return
        for key in [key for key, each in self._serving.items() if each is resident]:
            del self._serving[key]
        with self._taking(resident.resolved.bytes):
            await self._engine.remove(resident.name)
        self._models.release(resident.resolved)


def _refused(error: ModelError) -> InferError:
    return InferError(error.status, str(error), "NOT_FOUND" if error.status == 404 else "DEPENDENCY_UNAVAILABLE")
