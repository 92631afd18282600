"""The part of a replica that runs models: picks Triton or the embedded engine, loads what is declared, follows changes.

For `type: triton` its models are the API itself, under `/v2`. For the framework types they belong to the predictor,
which asks for them through its client.
"""

import asyncio
import contextlib
import dataclasses
import functools
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from runtime import guard, logs, tracing, user_python
from runtime.config import Settings
from runtime.inference import InferError
from runtime.models.catalog import ModelError
from runtime.models.repository import Repository, Resolved
from runtime.state_file import LoadFailure
from runtime.triton import discovery, interpreter, model_config, neuron, repository, server
from runtime.triton.catalog import Catalog
from runtime.triton.engine import RepositoryEngine, Runner
from runtime.triton.introspection import Introspection
from runtime.triton.repository import Source
from runtime.triton.residents import Residents
from runtime.triton.span_relay import SpanRelay
from services.chassis import telemetry

_FOLDER = "cortex-models-"


class ModelServer:
    """Implements runtime.parts.Part, and is the Engine of the models once it is `open`."""

    def __init__(
        self, settings: Settings, log: logs.LogFile, watch: guard.Guard, changed: Callable[[], None],
        spans: tracing.Spans | None,
    ) -> None:  # fmt: skip
        self.fatal: asyncio.Future[LoadFailure] = asyncio.get_running_loop().create_future()
        self.engine_name = ""  # `triton 2.51.0` or `embedded`
        self.engine_reason = ""  # why it is not Triton
        self.open = asyncio.Event()
        self._settings = settings
        self._log = log
        self._watch = watch
        self._changed = changed
        self._catalog = Catalog(settings.max_concurrency)
        self.engine = RepositoryEngine(self._catalog, self._reading)
        self._runner: Any = None
        if spans is not None:
            self.engine.around = functools.partial(spans.inference, is_served=settings.predictor_type == "triton")
        self._relay: SpanRelay | None = None
        self._models: Repository | None = None
        self._residents: Residents | None = None
        self._held: dict[str, Resolved] = {}  # the files that serve
        self._tried: dict[str, str] = {}  # the generation last read of each model, fit to serve or not
        self._catching_up: set[str] = set()
        self._folder: pathlib.Path | None = None  # ours alone, and gone with us
        self._started = False
        self._turn = asyncio.Event()

    def attach(self, models: Repository) -> None:
        """The declared models; before `run`."""
        self._models = models

    # The part.

    @property
    def failure(self) -> LoadFailure | None:
        failure: LoadFailure | None = self._runner.failure if self._runner is not None else None
        return failure

    @property
    def started(self) -> bool:
        return self._started

    @property
    def ready(self) -> bool:
        """Every model that has ever been served is there."""
        return self._started and all(entry.state != "LOADING" for entry in self._catalog if entry.ready_since)

    def describe(self) -> list[dict[str, Any]]:
        return self._runner.describe() if self._runner is not None else []

    def info(self) -> dict[str, Any]:
        told: dict[str, Any] = {"engine": self.engine_name}
        if self.engine_reason:
            told["engine_reason"] = self.engine_reason
        return told

    async def run(self) -> None:
        """Until cancelled; what keeps it from starting ends up in `fatal`."""
        place = _place(self._settings)
        await asyncio.to_thread(_sweep, place)
        self._folder = folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=place))
        try:
            await self._choose(folder)
            await self._declare(folder)
            if self.fatal.done():
                return
            self.open.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._runner.run())
                group.create_task(self._begin())
                group.create_task(self._follow())
        except interpreter.Unusable as error:
            self._fail("CONSTRUCTOR_FAILED", str(error))

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.stop()
        if self._relay is not None:
            await self._relay.stop()
        if self._residents is not None:
            self._residents.release()
        for resolved in self._held.values():
            if self._models is not None:
                self._models.release(resolved)
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    # Inside.

    async def _choose(self, folder: pathlib.Path) -> None:
        """Triton where one can run the models in the API's own environment; else the embedded engine, and says why."""
        settings = self._settings
        env = user_python.environment(settings.python, settings.env, os.environ)
        python = await interpreter.probe(settings.python)
        found = await asyncio.to_thread(discovery.search, settings.triton_home, os.environ)
        reason = found.reason or (found.installation.refuses(python) if found.installation else "")
        timeout = settings.start_timeout
        if found.installation is not None and not reason:
            from runtime.triton.supervisor import Supervisor

            place = server.Place(found.installation, python, folder, env, await self._trace_url())
            runner: Runner = Supervisor(
                place, self._catalog, self._log, self._watch, self._on_change, load_timeout=timeout
            )
            self.engine_name = f"triton {found.installation.version}"
        else:
            from runtime.embedded.runner import Embedded

            runner = Embedded(
                settings.python, env, folder, self._catalog, self._log, self._watch, self._on_change,
                load_timeout=timeout,
            )  # fmt: skip
            self.engine_name, self.engine_reason = "embedded", reason
            self._log.say("warning", f"the embedded engine runs the models, as no Triton can: {reason}")
        self._runner = runner
        self.engine.equip(runner, Introspection(settings.python, env), gpus=len(_gpus()))

    async def _trace_url(self) -> str:
        """Where Triton is to send its spans; empty when nobody asks for traces."""
        target = telemetry.collector(os.environ)
        if target is None:
            return ""
        if target.protocol != "grpc":
            return target.endpoint
        self._relay = SpanRelay(target.endpoint, self._log.say)
        await self._relay.start()
        return self._relay.url

    async def _declare(self, folder: pathlib.Path) -> None:
        models = self._models
        if models is None or not models.catalog.names:
            self._fail("MODEL_FAILED", "predictor.models: no model is declared, or its folder is empty")
            return
        if self._settings.predictor_type != "triton":
            await self.engine.declare([])
            settings = self._settings
            self._residents = Residents(
                self.engine, models, folder / "files", kind=settings.predictor_type, batching=settings.batching,
                processes=settings.processes, cores=settings.neuron_cores, gpus=settings.gpus, say=self._log.say,
            )  # fmt: skip
            return
        sources = []
        for name in models.catalog.names:
            try:
                async with self._reading(name) as source:
                    sources.append(source)
            except InferError as error:
                self._catalog.broke(repository.Broken(name, str(error)))
        await self.engine.declare(sources)

    def _on_change(self) -> None:
        self._turn.set()
        self._changed()

    async def loaded(self) -> None:
        """Waits until every declared model is up or has failed."""
        while not all(entry.state != "LOADING" and (entry.state == "READY" or entry.reason) for entry in self._catalog):
            self._turn.clear()
            await self._turn.wait()

    async def residents(self) -> Residents:
        """The models of a predictor, once they can be asked."""
        await self.open.wait()
        assert self._residents is not None
        return self._residents

    async def _begin(self) -> None:
        """Waits for the first load of all models."""
        if self._residents is not None:
            try:
                await self._residents.preload()
            except InferError as error:
                self._fail("MODEL_FAILED", str(error))
                return
        await self.loaded()
        broken = [entry for entry in await self.engine.index() if entry.state != "READY"]
        ready = [entry for entry in self._catalog if entry.state == "READY"]
        if broken and (not ready or self._is_fixed()):
            self._fail("MODEL_FAILED", "; ".join(f"model {each.name}: {each.reason}" for each in broken))
            return
        self._started = True
        self._changed()

    def _is_fixed(self) -> bool:
        """Whether all models are part of the revision: then a broken one is a broken deploy."""
        return self._models is not None and all(each.source.is_fixed for each in self._models.catalog.revisions())

    async def _follow(self) -> None:
        """New, changed and removed models of `type: triton`."""
        models = self._models
        if self._residents is not None:
            await self._residents.follow()
            return
        assert models is not None
        seen = models.sequence
        async with asyncio.TaskGroup() as group:
            while True:
                seen = await models.changed(seen)
                for name in {*self._tried, *models.catalog.names} - self._catching_up:
                    self._catching_up.add(name)
                    group.create_task(self._catch_up(name))

    async def _catch_up(self, name: str) -> None:
        """One model's changes, one after the other. None waits for another model, which may load for minutes."""
        try:
            while (wanted := self._generation(name)) != (before := self._tried.get(name, "")):
                await (self._swap(name) if wanted else self._forget(name))
                if self._tried.get(name, "") == before:
                    return  # it could not even be read: again at the next change
        finally:
            self._catching_up.discard(name)

    def _generation(self, name: str) -> str:
        """Of the files there are; empty where there are none."""
        assert self._models is not None
        try:
            return self._models.find(name).generation
        except ModelError:
            return ""

    async def _forget(self, name: str) -> None:
        assert self._models is not None
        self._log.say("info", f"model {name} is gone")
        del self._tried[name]
        await self.engine.remove(name)
        if (held := self._held.pop(name, None)) is not None:
            self._models.release(held)

    async def _swap(self, name: str) -> None:
        try:
            async with self._reading(name) as source:
                await self.engine.put(source)
            self._log.say("info", f"model {name} was loaded")
        except InferError as error:
            self._log.say("error", str(error))
        except OSError as error:
            self._log.say("error", f"model {name} cannot be loaded: {error}")

    @contextlib.asynccontextmanager
    async def _reading(self, name: str) -> AsyncIterator[Source]:
        """The newest files of a model of `type: triton`. Those that served are let go of once these do: a server that
        has to be replaced reads them again. Raises InferError."""
        assert self._models is not None
        try:
            resolved = await self._models.resolve(name)
        except ModelError as error:
            reason = "NOT_FOUND" if error.status == 404 else "DEPENDENCY_UNAVAILABLE"
            raise InferError(error.status, str(error), reason) from None
        self._tried[name] = resolved.generation
        try:
            yield await self._source(name, resolved)
        except BaseException:
            self._models.release(resolved)
            raise
        self._models.loaded(resolved)
        old, self._held[name] = self._held.get(name), resolved
        if old is not None:
            self._models.release(old)

    async def _source(self, name: str, resolved: Resolved) -> Source:
        try:
            source = await asyncio.to_thread(repository.read, pathlib.Path(resolved.path), _target(self._settings))
            source = dataclasses.replace(source, name=name)
            return neuron.placed(source, self._settings.neuron_cores, self._settings.processes)
        except (model_config.Invalid, OSError) as error:
            raise InferError(400, str(error)) from None

    def _fail(self, reason: str, text: str) -> None:
        self._log.say("error", text)
        if not self.fatal.done():
            self.fatal.set_result(LoadFailure(reason, text, None, time.time()))


def _place(settings: Settings) -> pathlib.Path:
    """Beside the state file, so that who cleans up after a replica finds it."""
    return pathlib.Path(settings.state_file).parent if settings.state_file else pathlib.Path(tempfile.gettempdir())


def _sweep(place: pathlib.Path) -> None:
    """Folders of replicas that were killed: their names carry the pid of the front that is gone."""
    for left in place.glob(f"{_FOLDER}*-*"):
        pid = left.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdigit() and not pathlib.Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)


def _gpus() -> list[pathlib.Path]:
    return list(pathlib.Path("/dev").glob("nvidia[0-9]*"))


def _target(settings: Settings) -> str:
    """Which `configs/NAME.pbtxt` of a model fits this machine."""
    if settings.neuron_cores[1]:
        return "neuron"
    return "gpu" if _gpus() else "cpu"
