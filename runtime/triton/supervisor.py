"""Keeps a Triton server and its models alive: starts it, asks its models for canary answers, replaces what died.

Triton never restarts a dead stub and goes on calling the model ready, so health is what canaries and /proc tell. While
a model or the server is away its gate is closed: those inside fail, those who wait are served by the successor.
"""

import asyncio
import collections
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import grpc

from runtime import errors, guard, logs
from runtime.inference import InferRequest, InferResponse
from runtime.state_file import LoadFailure
from runtime.triton import checks, model_config, processes, server
from runtime.triton.calls import Calls
from runtime.triton.catalog import Catalog, Entry
from runtime.triton.engine import LoadError
from runtime.triton.gate import refusal
from runtime.triton.health import Health, answers
from runtime.triton.repository import lay_out
from runtime.triton.turns import Turns
from services.chassis import backoff

_CRASHES, _CRASH_WINDOW = 5, 60.0
_AWAY = "the server is being restarted"
_INCOMPLETE = "a model that it is made of is being replaced"
_LACKING = "a model that it is made of is unloaded"
_LOOK_AGAIN_SECONDS = 0.2
_LOAD_TRIES = 2  # a model may be what the server dies of
# A server keeps a little of each model it ever loaded. Beyond this many loads, or this growth, a fresh one takes over.
_RETIRE_SECONDS = 60.0
_MOST_LOADS = 500
_MOST_GROWTH = 1024**3
_MOST_RETIRED = 256 * 1024**2


class Supervisor:
    """Runs the models of a catalog on Triton."""

    kind = "triton"

    def __init__(
        self, place: server.Place, catalog: Catalog, log: logs.LogFile, watch: guard.Guard,
        changed: Callable[[], None], *, load_timeout: float, most_loads: int = _MOST_LOADS,
    ) -> None:  # fmt: skip
        self.place = place
        self.failure: LoadFailure | None = None
        self.replaced = 0  # servers so far
        self._catalog = catalog
        self._log = log
        self._watch = watch
        self._changed = changed
        self._load_timeout = load_timeout
        self._most_loads = most_loads
        self._calls: Calls | None = None
        self._first_bytes = 0
        self._healing: dict[str, asyncio.Task[None]] = {}
        self._old: set[asyncio.Task[None]] = set()
        self._crashes: collections.deque[float] = collections.deque(maxlen=_CRASHES)
        self._rng = random.Random()
        self._backoff = backoff.Backoff(first=0.1, longest=30.0)
        self._health = Health(catalog, self.suspect, self._away, self._back, changed)
        self._turns = Turns()

    @property
    def pid(self) -> int | None:
        return self._calls.server.process.pid if self._calls else None

    @property
    def version(self) -> str:
        return self._calls.server.version if self._calls else self.place.installation.version

    async def run(self) -> None:
        """Until cancelled: one server after another."""
        server.sweep_strangers()
        failures = 0
        while True:
            try:
                calls = await self._start()
                failures = 0
            except server.StartError as error:
                failures += 1
                self._report(str(error))
                await asyncio.sleep(self._backoff.delay(failures, self._rng))
                continue
            try:
                await self._live(calls)
            finally:
                self._away()
                await asyncio.shield(self._bury(calls))
            await asyncio.sleep(self._backoff.delay(self._crashed() - 1, self._rng))

    async def _start(self) -> Calls:
        fresh = await server.start(self.place, self._log, self._watch)
        calls = Calls(fresh, self.suspect, self._lost, self._explain)
        self._log.say("info", f"Triton {fresh.version} started", pid=fresh.process.pid)
        return calls

    async def _live(self, calls: Calls) -> None:
        """From the start of a server to its end, or to its successor's start."""
        async with self._turns.alone():
            self._calls = calls
            self._first_bytes = processes.resident_bytes(calls.server.process.pid)
            await self._load_all(calls)
        while self._calls is not None:
            current = self._calls
            if not await self._health.watch(current, self._tired):
                return
            await self._recycle(current)

    def _tired(self) -> bool:
        """Whether a fresh server should take over."""
        calls = self._calls
        if calls is None:
            return False
        grown = processes.resident_bytes(calls.server.process.pid) - self._first_bytes
        return (
            calls.server.loads >= self._most_loads + len(list(self._catalog))
            or grown > _MOST_GROWTH + self._first_bytes
            or calls.regions.retired_bytes > _MOST_RETIRED
        )

    async def _recycle(self, old: Calls) -> None:
        """A successor loads the models beside the old server and takes over; the old one ends what it has begun."""
        try:
            calls = await self._start()
        except server.StartError as error:
            self._report(str(error))
            old.server.loads = 0  # it goes on; the next try comes after as many loads again
            return
        async with self._turns.alone():
            await self._load_all(calls, quietly=True)
            self._calls = calls
        self._first_bytes = processes.resident_bytes(calls.server.process.pid)
        self._log.say("info", f"Triton was replaced after {old.server.loads} loads", pid=calls.server.process.pid)
        task = asyncio.ensure_future(self._retire(old))
        self._old.add(task)
        task.add_done_callback(self._old.discard)

    async def _retire(self, old: Calls) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETIRE_SECONDS):
                await old.idle()
        old.regions.close()
        await old.server.stop(self._watch)

    async def _load_all(self, calls: Calls, *, quietly: bool = False) -> None:
        # What an admin has unloaded stays away, and so does what is made of it.
        wanted = [entry for entry in self._catalog if not entry.is_unloaded and entry.reason != _LACKING]
        # Ensembles first, as Triton loads with them what they are made of, even what it has loaded already.
        inner = frozenset().union(*(model_config.members(entry.config) for entry in wanted))
        outer = [entry for entry in wanted if model_config.is_ensemble(entry.config) and entry.name not in inner]
        for entry in self._catalog:
            lay_out(entry.source, self.place.repository, entry.config)
        tried, brought = set[str](), set[str]()
        for entry in outer:
            tried.add(entry.name)
            if await self._load(calls, entry, quietly=quietly):
                brought |= self._members(entry)
        rest = [entry for entry in wanted if entry.name not in tried]
        await asyncio.gather(*(self._load(calls, each, each.name in brought, quietly=quietly) for each in rest))

    def _members(self, entry: Entry) -> set[str]:
        """Of an ensemble and the ensembles in it."""
        found, new = set[str](), [entry]
        while new:
            names = model_config.members(new.pop().config) - found
            found |= names
            new += [each for each in self._catalog if each.name in names]
        return found

    def _touched(self, entry: Entry) -> set[str]:
        """What Triton may load or unload with it."""
        return {entry.name, *self._members(entry)}

    def _around(self, entry: Entry) -> list[Entry]:
        """The ensembles that have it in them."""
        return [each for each in self._catalog if entry.name in self._members(each)]

    async def _load(self, calls: Calls, entry: Entry, brought: bool = False, *, quietly: bool = False) -> bool:
        """Brings one model up, unless an ensemble has `brought` it, and opens its gate. A failure is its state."""
        if not quietly:
            entry.state, entry.reason = "LOADING", ""
            self._changed()
        try:
            if not brought:
                lay_out(entry.source, self.place.repository, entry.config)
                await calls.load(entry.name, self._load_timeout)
        except LoadError as error:
            entry.fail(str(error))
            self._log.say("error", f"model {entry.name} cannot be loaded: {entry.reason}")
        else:
            await self._try_out(calls, entry)
        if entry.state == "READY":
            await self._complete(calls, entry)
        self._changed()
        return entry.state == "READY"

    async def _complete(self, calls: Calls, entry: Entry) -> None:
        """It is back: the ensembles that waited for it, and for no other, open. A server that was started since it was
        unloaded has none of them yet."""
        waits = (_INCOMPLETE, _LACKING)
        for each in self._around(entry):
            if each.reason in waits:
                inner = [other for other in self._catalog if other.name in self._members(each)]
                if all(other.state == "READY" or other.reason in waits for other in inner):
                    if each.reason == _LACKING:
                        await self._load(calls, each)
                    else:
                        each.ready()

    async def _try_out(self, calls: Calls, entry: Entry) -> None:
        """Ready is who has answered once; how long that took tells what to expect of the next canary."""
        entry.slowest = 0.0
        if checks.wants_canary(entry.config) and not await answers(calls, entry, self._load_timeout):
            entry.fail("it was loaded and does not answer")
            return
        entry.ready()
        if entry.complaint:
            self._log.say("warning", entry.complaint)

    # What the engine asks for.

    async def infer(self, entry: Entry, version: str, request: InferRequest) -> InferResponse:
        return await self._current().infer(entry, version, request, entry.gate)

    def stream(self, entry: Entry, version: str, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        return self._current().stream(entry, version, request)

    async def statistics(self, name: str, version: str) -> Sequence[Mapping[str, Any]]:
        return await self._current().statistics(name, version)

    async def load(self, entry: Entry, *, replaces: bool) -> None:
        """Raises LoadError. The end of a server says nothing of what it was loading: its successor is asked."""
        failure = LoadError("the server is being restarted; try again later")
        for _ in range(_LOAD_TRIES):
            await self._served()
            async with self._turns.of(self._touched(entry)):
                if (calls := self._calls) is None:
                    continue
                try:
                    await self._load_on(calls, entry, replaces=replaces)
                    return
                except LoadError as error:
                    if not calls.cut_off:
                        raise
                    failure = error
        raise failure

    async def _served(self) -> None:
        """Waits a while for a server that takes calls."""
        end = time.monotonic() + self._load_timeout
        while (self._calls is None or self._calls.cut_off) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _load_on(self, calls: Calls, entry: Entry, *, replaces: bool) -> None:
        """Triton itself keeps what was loaded before until the new files are up."""
        if not replaces:
            await self._load(calls, entry)
            if entry.state != "READY":
                raise LoadError(entry.reason)
        else:
            lay_out(entry.source, self.place.repository, entry.config)
            try:
                await calls.load(entry.name, self._load_timeout)
            except LoadError:
                old = self._catalog.get(entry.name)
                if old is not None:
                    lay_out(old.source, self.place.repository, old.config)
                raise
            entry.ready()

    async def unload(self, entry: Entry, *, dependents: bool) -> None:
        async with self._turns.of(self._touched(entry)):
            entry.gate.close()
            for each in self._around(entry):
                if each.state in ("READY", "LOADING"):
                    each.fail(_LACKING, _LACKING)
            self._changed()
            if self._calls is not None:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await self._calls.unload(entry.name, dependents=dependents)

    def suspect(self, model: str) -> None:
        """A stub of the model is dead or does not answer: the model gets new ones."""
        entry = self._catalog.get(model)
        if entry is None or model in self._healing or self._calls is None:
            return
        if entry.state != "READY" and not entry.doubted:
            return
        entry.gate.close()
        entry.state, entry.reason = "LOADING", "a process of the model died; it is being replaced"
        for each in self._around(entry):
            if each.state == "READY":
                each.gate.close()
                each.state, each.reason = "LOADING", _INCOMPLETE
        self._changed()
        self._log.line("error", f"model {model} does not answer; replacing it", source="cortex", worker="triton",
                       reason="WORKER_DIED")  # fmt: skip
        task = asyncio.ensure_future(self._heal(entry, self._calls))
        self._healing[model] = task
        task.add_done_callback(lambda _: self._healing.pop(model, None))

    def _lost(self, calls: Calls) -> None:
        """The connection broke: nobody is sent after those who were inside. Mostly the server is dead; `watch` sees to
        that. Should it live, its models open again."""
        if calls is not self._calls or not any(entry.state == "READY" for entry in self._catalog):
            return
        self._away()
        task = asyncio.ensure_future(self._look_again(calls))
        self._old.add(task)
        task.add_done_callback(self._old.discard)

    async def _look_again(self, calls: Calls) -> None:
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        if calls is self._calls and calls.server.is_running and await calls.server.live(1.0):
            self._back()

    async def _heal(self, entry: Entry, calls: Calls) -> None:
        for stub in processes.stubs(calls.server.process.pid):
            if stub.model == entry.name and not stub.healthy:
                stub.kill()
        recent = self._crashed()
        await asyncio.sleep(self._backoff.delay(recent - 1, self._rng) if recent > 1 else 0)
        async with self._turns.of(self._touched(entry)):
            if self._calls is calls and not entry.is_unloaded:
                try:
                    await calls.unload(entry.name)
                except grpc.aio.AioRpcError:
                    # A server that cannot let go of a model is no better than a dead one.
                    calls.server.kill()
                    return
                await self._load(calls, entry)

    def describe(self) -> list[dict[str, Any]]:
        found = [] if self._calls is None else processes.stubs(self._calls.server.process.pid)
        stubs = [{"pid": stub.pid, "state": "READY" if stub.healthy else "DEAD", "model": stub.model} for stub in found]
        return [{"pid": self.pid, "state": "READY" if self._calls else "STARTING", "model": ""}, *stubs]

    async def stop(self) -> None:
        """Ends the server, gently first."""
        for task in [*self._healing.values(), *self._old]:
            task.cancel()
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.regions.close()
            await calls.server.stop(self._watch)

    # Inside.

    def _current(self) -> Calls:
        if self._calls is None:
            raise refusal(errors.NOT_READY)
        return self._calls

    def _away(self) -> None:
        """The server is gone: nobody enters, and who waits does so for its successor."""
        for entry in self._catalog:
            if entry.state == "READY" or entry.state == "LOADING":
                entry.state, entry.reason = "LOADING", _AWAY
                entry.gate.close()
        self._changed()

    def _back(self) -> None:
        """It was only late."""
        for entry in self._catalog:
            if entry.reason == _AWAY:
                entry.ready()
        self._changed()

    async def _bury(self, calls: Calls) -> None:
        current = self._calls if self._calls is not None else calls
        self._calls = None
        current.regions.close()
        await current.server.bury(self._watch)
        self.replaced += 1

    def _crashed(self) -> int:
        now = time.monotonic()
        self._crashes.append(now)
        recent = sum(1 for at in self._crashes if at > now - _CRASH_WINDOW)
        if recent >= _CRASHES:
            self._report(f"Triton or its models died {recent} times within {_CRASH_WINDOW:g} s", "CRASH_LOOP")
        return recent

    def _report(self, text: str, reason: str = "CONSTRUCTOR_FAILED") -> None:
        self.failure = LoadFailure(reason, text, None, time.time())
        self._log.line("error", text, source="cortex", worker="triton", reason=reason)
        self._changed()

    def _explain(self, text: str, request: InferRequest) -> None:
        self._log.line("error", f"model {request.model}: {text}", source="cortex", worker="triton",
                       request_id=request.request_id)  # fmt: skip
