"""The engine for where no Triton is: each instance of a model in a process of its own, in the API's environment.

It runs what Triton's Python backend runs: the user's model.py, and our wrappers for ONNX, TensorFlow, PyTorch, trees
and scikit-learn. What needs more than that (ensembles, native backends, requests from inside a model) says so.
"""

import asyncio
import collections
import contextlib
import dataclasses
import json
import pathlib
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from runtime import errors, guard, logs
from runtime.embedded import host
from runtime.embedded.sequences import Sequences
from runtime.inference import InferError, InferRequest, InferResponse
from runtime.oip.statistics import Statistics
from runtime.state_file import LoadFailure
from runtime.triton import checks, model_config
from runtime.triton.catalog import VERDICT_SECONDS, Catalog, Entry
from runtime.triton.engine import LoadError
from runtime.triton.gate import refusal
from runtime.triton.repository import lay_out
from services.chassis import backoff

_BACKENDS = pathlib.Path(__file__).parents[1] / "triton" / "backends"
_LOOK_SECONDS = 0.1
_RETIRE_SECONDS = 60.0


@dataclasses.dataclass(slots=True)
class Crew:
    """The hosts of one model: all instances of all versions."""

    entry: Entry
    hosts: dict[tuple[int, int], host.Host]
    sequences: Sequences | None

    def choose(self, version: str, request: InferRequest) -> tuple[host.Host, InferRequest] | None:
        """Who is to run it, and what they are told; None while nobody can. Raises InferError 400."""
        able = [each for (number, _), each in self.hosts.items() if str(number) == version and each.is_serving]
        if not able:
            return None
        if self.sequences is None:
            return min(able, key=lambda each: each.load), request
        chosen = self.sequences.host(request, able, time.monotonic())
        return chosen, dataclasses.replace(request, inputs=self.sequences.controlled(request))

    def used(self, request: InferRequest) -> None:
        if self.sequences is not None:
            self.sequences.used(request, time.monotonic())


class Embedded:
    """Runs the models of a catalog."""

    kind = "embedded"

    def __init__(
        self, python: str, env: Mapping[str, str], folder: pathlib.Path, catalog: Catalog, log: logs.LogFile,
        watch: guard.Guard, changed: Callable[[], None], *, load_timeout: float,
    ) -> None:  # fmt: skip
        self.failure: LoadFailure | None = None
        self._python = python
        self._env = {**env, "CORTEX_MODEL_HOST": str(host.HOST.parent)}
        self._folder = folder
        self._catalog = catalog
        self._log = log
        self._watch = watch
        self._changed = changed
        self._load_timeout = load_timeout
        self._crews: dict[str, Crew] = {}
        self._statistics: dict[tuple[str, str], Statistics] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._asked: set[str] = set()
        self._crashes: collections.deque[float] = collections.deque(maxlen=5)
        self._rng = random.Random()
        self._backoff = backoff.Backoff(first=0.1, longest=30.0)

    async def run(self) -> None:
        """Loads what the catalog has, then looks after it until cancelled."""
        await asyncio.gather(*(self._first(entry) for entry in self._catalog))
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for crew in list(self._crews.values()):
                self._look(crew)

    async def _first(self, entry: Entry) -> None:
        with contextlib.suppress(LoadError):
            await self.load(entry, replaces=False)

    # What the engine asks for.

    async def load(self, entry: Entry, *, replaces: bool) -> None:
        if not replaces:
            entry.state, entry.reason = "LOADING", ""
            self._changed()
        try:
            crew = await self._gather_crew(entry)
        except LoadError as error:
            if (serving := self._crews.get(entry.name)) is not None:
                lay_out(serving.entry.source, self._folder)  # a process of it that dies is started again from there
            if not replaces:
                entry.fail(str(error))
                self._changed()
            self._log.say("error", f"model {entry.name} cannot be loaded: {error}")
            raise
        old = self._crews.get(entry.name)
        self._crews[entry.name] = crew
        entry.ready()
        self._changed()
        if entry.complaint:
            self._log.say("warning", entry.complaint)
        if old is not None:
            self._spawn(self._retire(old))

    async def unload(self, entry: Entry, *, dependents: bool) -> None:
        crew = self._crews.pop(entry.name, None)
        if crew is not None:
            self._spawn(self._retire(crew))

    async def infer(self, entry: Entry, version: str, request: InferRequest) -> InferResponse:
        began = time.monotonic()
        version, crew, chosen, request = self._host(entry, version, request)
        statistics = self._counted(entry, version)
        try:
            response = await chosen.infer(version, request)
        except InferError:
            statistics.ended(time.monotonic() - began, 0.0, ok=False)
            raise
        finally:
            crew.used(request)
        entry.answered(time.monotonic() - began)
        statistics.ended(time.monotonic() - began, 0.0, ok=True)
        return response

    async def stream(self, entry: Entry, version: str, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        version, crew, chosen, request = self._host(entry, version, request)
        statistics = self._counted(entry, version)
        began = time.monotonic()
        async with contextlib.aclosing(chosen.stream(version, request)) as responses:
            async for response in responses:
                entry.answered(0.0)
                crew.used(request)
                yield response
        statistics.ended(time.monotonic() - began, 0.0, ok=True)

    async def statistics(self, name: str, version: str) -> Sequence[Mapping[str, Any]]:
        return [
            self._counted(entry, str(number)).entry()
            for entry in self._catalog
            for number in entry.versions
            if name in ("", entry.name) and version in ("", str(number))
        ]

    def describe(self) -> list[dict[str, Any]]:
        return [
            {"pid": each.process.pid, "state": "READY" if each.is_running else "DEAD", "model": crew.entry.name}
            for crew in self._crews.values()
            for each in crew.hosts.values()
        ]

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        hosts = [each for crew in self._crews.values() for each in crew.hosts.values()]
        self._crews.clear()
        await asyncio.gather(*(each.end(self._watch) for each in hosts))

    # Inside.

    def _counted(self, entry: Entry, version: str) -> Statistics:
        return self._statistics.setdefault((entry.name, version), Statistics(entry.name, version))

    def _host(self, entry: Entry, version: str, request: InferRequest) -> tuple[str, Crew, host.Host, InferRequest]:
        """The version, the host that is to run the request, and the request as it is told."""
        crew = self._crews.get(entry.name)
        if crew is not None:
            version = version or str(crew.entry.versions[-1])
            found = crew.choose(version, request)
            if found is not None:
                return version, crew, *found
        raise refusal(errors.NOT_READY)

    async def _gather_crew(self, entry: Entry) -> Crew:
        """All hosts of a model, loaded and tried. Raises LoadError."""
        lay_out(entry.source, self._folder)
        config = entry.config
        crew = Crew(entry, {}, Sequences(entry.name, config) if model_config.is_sequence(config) else None)
        places = [
            (version, instance)
            for version in entry.versions
            for instance in range(len(model_config.devices(entry.config)))
        ]
        try:
            await asyncio.gather(*(self._hire(crew, *place) for place in places))
        except BaseException:
            await asyncio.gather(*(each.end(self._watch) for each in crew.hosts.values()))
            raise
        return crew

    async def _hire(self, crew: Crew, version: int, instance: int) -> None:
        """One host, loaded, that has answered a canary."""
        entry = crew.entry
        try:
            fresh = await host.start(
                self._python, self._env, self._setup(entry, version, instance), self._folder, self._log, self._watch
            )
        except OSError as error:
            raise LoadError(f"cannot run {self._python}: {error}") from None
        old = crew.hosts.get((version, instance))
        crew.hosts[version, instance] = fresh
        if old is not None:
            await old.end(self._watch)
        try:
            async with asyncio.timeout(self._load_timeout):
                await fresh.loaded
                if checks.wants_canary(entry.config):
                    began = time.monotonic()
                    await self._sing(fresh, version, entry)
                    entry.slowest = time.monotonic() - began
        except TimeoutError:
            raise LoadError(f"it did not load and answer within {self._load_timeout:g} s (start_timeout)") from None
        except host.LoadFailed as error:
            raise LoadError(str(error)) from None
        fresh.on_gone = lambda: self._look(crew)

    def _setup(self, entry: Entry, version: int, instance: int) -> dict[str, Any]:
        """What a host is told. Raises LoadError for what only Triton can run."""
        config, folder = entry.config, self._folder / entry.name / str(version)
        backend = model_config.backend(config)
        file = str(config.get("default_model_filename") or "model.py")
        module = folder / file if backend == "python" else _BACKENDS / backend / "model.py"
        if not backend or (backend != "python" and not module.is_file()):
            raise LoadError(f"{backend or 'an ensemble'} needs a Triton server, and the embedded engine runs instead")
        sequences = config.get("sequence_batching", {})
        if sequences.get("state") or sequences.get("iterative_sequence"):
            raise LoadError("state that the server keeps needs a Triton server, and the embedded engine runs instead")
        kind, device = model_config.devices(config)[instance]
        return {
            "module": str(module),
            "path": [str(_BACKENDS / "_shared"), str(folder)],
            "args": {
                "model_config": json.dumps(config),
                "model_instance_kind": kind,
                "model_instance_name": f"{entry.name}_0_{instance}",
                "model_instance_device_id": str(device),
                "model_repository": str(self._folder / entry.name),
                "model_version": str(version),
                "model_name": entry.name,
            },
        }

    def _look(self, crew: Crew) -> None:
        entry = crew.entry
        if self._crews.get(entry.name) is not crew:
            return
        if not any(each.is_serving for each in crew.hosts.values()):
            entry.gate.close()  # who comes waits for a successor
        if entry.state != "READY" and not entry.doubted:
            return
        dead = [place for place, each in crew.hosts.items() if not each.is_running]
        if dead:
            self._replace(crew, dead)
            return
        if entry.is_quiet and entry.name not in self._asked and checks.wants_canary(entry.config):
            self._asked.add(entry.name)
            self._spawn(self._ask(crew))

    async def _ask(self, crew: Crew) -> None:
        """A canary to every instance; any answer will do. Silence is a doubt first and a verdict after seconds."""
        entry = crew.entry
        limit = entry.patience
        try:
            for place, each in list(crew.hosts.items()):
                canary = asyncio.ensure_future(self._answers(each, place[0], entry, limit + VERDICT_SECONDS))
                await asyncio.wait([canary], timeout=limit)
                doubted = not canary.done() and entry.doubt()
                if doubted:
                    self._changed()
                if not await canary and (doubted or not entry.gate.inside):
                    each.kill()
                elif doubted and entry.doubted:
                    entry.ready()
                    self._changed()
            entry.last_answer = time.monotonic()
        finally:
            self._asked.discard(entry.name)

    async def _answers(self, to: host.Host, version: int, entry: Entry, limit: float) -> bool:
        try:
            async with asyncio.timeout(limit):
                await self._sing(to, version, entry)
        except TimeoutError:
            return False
        return True

    @staticmethod
    async def _sing(to: host.Host, version: int, entry: Entry) -> None:
        try:
            await to.infer(str(version), InferRequest(entry.name, "", "canary", checks.canary(entry)))
        except InferError as error:
            entry.sang(error=error.reason != errors.WORKER_DIED.reason)
        else:
            entry.sang(error=False)

    def _replace(self, crew: Crew, places: Sequence[tuple[int, int]]) -> None:
        entry = crew.entry
        entry.state, entry.reason = "LOADING", "a process of the model died; it is being replaced"
        for place in places:
            crew.hosts[place].kill()
        text = f"a process of model {entry.name} died; replacing it"
        self._log.line("error", text, source="cortex", worker=entry.name, reason="WORKER_DIED")
        self._changed()
        self._spawn(self._refill(crew, places))

    async def _refill(self, crew: Crew, places: Sequence[tuple[int, int]]) -> None:
        while self._crews.get(crew.entry.name) is crew:
            await asyncio.sleep(self._pause())
            try:
                await asyncio.gather(*(self._hire(crew, *place) for place in places))
            except LoadError as error:
                self._report(f"model {crew.entry.name} cannot be loaded again: {error}", "CONSTRUCTOR_FAILED")
                continue
            crew.entry.ready()
            self._changed()
            return

    def _pause(self) -> float:
        now = time.monotonic()
        self._crashes.append(now)
        recent = sum(1 for at in self._crashes if at > now - 60.0)
        if recent >= 5:
            self._report(f"processes of models died {recent} times within 60 s", "CRASH_LOOP")
        return self._backoff.delay(recent - 1, self._rng) if recent > 1 else 0.0

    def _report(self, text: str, reason: str) -> None:
        self.failure = LoadFailure(reason, text, None, time.time())
        self._log.line("error", text, source="cortex", worker="", reason=reason)
        self._changed()

    async def _retire(self, crew: Crew) -> None:
        """Lets the hosts end what they have begun."""
        try:
            async with asyncio.timeout(_RETIRE_SECONDS):
                for each in crew.hosts.values():
                    await each.idle()
        except TimeoutError:
            pass
        finally:
            await asyncio.gather(*(each.end(self._watch) for each in crew.hosts.values()))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
