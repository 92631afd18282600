"""Keeps the workers alive: loads them, notices their end, restarts them with growing patience, and knows what to say.

A predictor that cannot be loaded at the start ends the replica with the user's traceback. Later a worker's end costs
the requests inside it and a restart; one that ends again and again is reported as a crash loop.
"""

import asyncio
import collections
import contextlib
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime import asks, fork_server, guard, logs, spawn
from runtime.config import Settings
from runtime.dispatch import Dispatcher
from runtime.link import Link
from runtime.state_file import LoadFailure
from services.chassis import backoff

_CRASHES = 5
_CRASH_WINDOW = 60.0
# A worker in a crash loop counts as ready again after it lived this long; twice as long for each further crash.
_TRIAL_SECONDS = 0.5
_LONGEST_TRIAL_SECONDS = 10.0
_STOP_SECONDS = 2.0


class Slot:
    """One place for a worker, and the workers that fill it one after another."""

    def __init__(self, index: int, pool: "Pool") -> None:
        self.name = f"w{index}"
        self.state = "STARTING"
        self.worker: spawn.Worker | None = None
        self.loaded = False
        self.looping = False
        self._pool = pool
        self._load_failure: tuple[str, str] | None = None
        self._heard = asyncio.Event()
        self.dead = asyncio.Event()
        self.trial = 0.0
        self._crashes: collections.deque[float] = collections.deque(maxlen=_CRASHES)

    def on_loaded(self, offer: Mapping[str, Any]) -> None:
        self.loaded = True
        self._heard.set()
        assert self.worker is not None
        self.state = "READY"
        self._pool.joined(self, self.worker.link, offer)

    def on_load_failed(self, reason: str, message: str) -> None:
        self._load_failure = (reason, message)
        self._heard.set()

    async def live_once(self) -> LoadFailure | None:
        """One worker from start to end. Returns why it never got ready, or None when it did."""
        self.loaded, self._load_failure = False, None
        self._heard.clear()
        self.dead.clear()
        self.state = "STARTING"
        pool = self._pool
        link = Link(pool.settings.threads, pool.dispatcher, self)
        try:
            self.worker = worker = await spawn.start(
                pool.make,
                name=self.name,
                link=link,
                setup=pool.settings.setup,
                log=pool.log,
                answers=pool.asks,
            )
        except OSError as error:
            return LoadFailure("CONSTRUCTOR_FAILED", f"cannot run {pool.settings.python}: {error}", None, time.time())
        pool.watch.began(worker.process.pid)
        pool.on_launch()
        exited = asyncio.ensure_future(spawn.ended(worker.process))
        try:
            failure = await self._load(worker, exited)
            if failure is None:
                await exited
            return failure
        finally:
            worker.kill()
            await exited
            pool.watch.ended(worker.process.pid)
            self.state = "DEAD"
            self.dead.set()
            pool.left(self, worker)
            link.close()

    async def _load(self, worker: spawn.Worker, exited: "asyncio.Future[None]") -> LoadFailure | None:
        heard = asyncio.ensure_future(self._heard.wait())
        limit = self._pool.settings.start_timeout
        try:
            waited: list[asyncio.Future[Any]] = [heard, exited]
            await asyncio.wait(waited, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            heard.cancel()
        if self.loaded:
            return None
        if self._load_failure is None and exited.done():
            # What it said last may still be on its way through the pipes.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self._heard.wait()
        code = worker.process.returncode
        if self._load_failure is not None:
            return LoadFailure(*self._load_failure, code, time.time())
        if not exited.done():
            text = f"the predictor did not load within {limit:g} s (start_timeout)"
            return LoadFailure("CONSTRUCTOR_FAILED", text, None, time.time())
        reason = "OUT_OF_MEMORY" if code == -9 else "CONSTRUCTOR_FAILED"
        text = f"the worker {worker.exit_text()} while it loaded the predictor\n{worker.tail}".strip()
        return LoadFailure(reason, text, code, time.time())

    def crashed(self, now: float, *, answered: bool) -> int:
        """Notes one more crash; returns how many there were lately without an answer in between. Who answers others
        and dies of some requests is back at once: long pauses would make all callers pay for a few."""
        if answered:
            self._crashes.clear()
            self.trial = 0.0
        self._crashes.append(now)
        recent = sum(1 for at in self._crashes if at > now - _CRASH_WINDOW)
        self.looping = recent >= _CRASHES
        if self.looping:
            self.trial = min(_LONGEST_TRIAL_SECONDS, max(_TRIAL_SECONDS, 2 * self.trial))
        return recent


class Pool:
    """All slots of the replica."""

    def __init__(
        self,
        settings: Settings,
        dispatcher: Dispatcher,
        log: logs.LogFile,
        watch: guard.Guard,
        answers: asks.Asks,
        changed: Callable[[], None],
    ) -> None:
        self.asks = answers
        self.settings = settings
        self.dispatcher = dispatcher
        self.log = log
        self.watch = watch
        env = spawn.environment(settings.python, settings.env, os.environ)
        self._interpreter = spawn.Interpreter(settings.python, env, settings.setup["project_dir"])
        self.failure: LoadFailure | None = None
        self.fatal: asyncio.Future[LoadFailure] = asyncio.get_running_loop().create_future()
        self.launched = asyncio.Event()  # every worker has begun to load
        self.started = False  # every worker was loaded once
        self._changed = changed
        self._slots = [Slot(index, self) for index in range(settings.processes)]
        self._fork_server = self._forking()
        self._stopping = False
        self._rng = random.Random()
        self._backoff = backoff.Backoff(first=0.1, longest=30.0)

    def _forking(self) -> fork_server.ForkServer | None:
        settings = self.settings
        if settings.worker.start == "spawn" or not fork_server.supported():
            return None
        plan = {name: settings.setup[name] for name in ("project_dir", "python_path", "path")}
        fork_server.adopt_orphans()
        server = fork_server.ForkServer(
            self._interpreter, {**plan, "preload": settings.worker.preload}, self.log, self.watch
        )
        server.on_launch = self.launched.set
        return server

    async def make(self, fds: Sequence[int]) -> spawn.Process:
        """A worker's process. Raises OSError."""
        if self._fork_server is not None:
            with contextlib.suppress(fork_server.Unavailable):
                return await self._fork_server.fork(fds)
        return await self._interpreter.start(fds)

    @property
    def ready(self) -> bool:
        return self.started and any(slot.loaded and not slot.looping for slot in self._slots)

    def describe(self) -> list[dict[str, Any]]:
        return [{"pid": slot.worker.process.pid if slot.worker else None, "state": slot.state} for slot in self._slots]

    @property
    def fork_server_pid(self) -> int | None:
        return self._fork_server.pid if self._fork_server is not None else None

    async def run(self) -> None:
        """Until cancelled; a failure of the first load ends up in `fatal`."""
        async with asyncio.TaskGroup() as group:
            if self._fork_server is not None:
                group.create_task(self._fork_server.run())
            for slot in self._slots:
                group.create_task(self._keep(slot))

    def on_launch(self) -> None:
        if all(slot.worker for slot in self._slots):
            self.launched.set()

    def joined(self, slot: Slot, link: Link, offer: Mapping[str, Any]) -> None:
        self.dispatcher.joined(link, offer)
        if all(each.loaded for each in self._slots):
            self.started = True
        if slot.looping:
            asyncio.get_running_loop().call_later(slot.trial, self._passed, slot, slot.worker)
        elif self.failure is not None and self.ready:
            self.failure = None
        self._changed()

    def left(self, slot: Slot, worker: spawn.Worker) -> None:
        slot.loaded = False
        self.dispatcher.left(worker.link, worker.begun)
        self._changed()

    async def stop(self) -> None:
        """Lets the workers end by themselves for a moment, then ends them."""
        self._stopping = True
        workers = [slot.worker for slot in self._slots if slot.worker and slot.state != "DEAD"]
        for worker in workers:
            worker.link.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*(slot.dead.wait() for slot in self._slots if slot.worker))
        for worker in workers:
            worker.kill()
        if self._fork_server is not None:
            self._fork_server.close()

    async def _keep(self, slot: Slot) -> None:
        while not self._stopping:
            failure = await slot.live_once()
            if self._stopping:
                return
            self._explain(slot, failure)
            if not self.started and failure is not None:
                if not self.fatal.done():
                    self.fatal.set_result(failure)
                return
            answered = failure is None and slot.worker is not None and slot.worker.link.answered
            recent = slot.crashed(time.monotonic(), answered=answered)
            if slot.looping:
                self._report_loop(slot, failure, recent)
            if recent > 1:
                await asyncio.sleep(self._backoff.delay(recent - 2, self._rng))

    def _explain(self, slot: Slot, failure: LoadFailure | None) -> None:
        assert slot.worker is not None or failure is not None
        if failure is not None:
            self.log.line("error", failure.message, source="cortex", worker=slot.name, reason=failure.reason)
        elif slot.worker is not None:
            text = f"worker {slot.name} {slot.worker.exit_text()}; restarting"
            self.log.line("error", text, source="cortex", worker=slot.name, reason="WORKER_DIED")

    def _report_loop(self, slot: Slot, failure: LoadFailure | None, recent: int) -> None:
        worker = slot.worker
        last = failure.message if failure else f"{worker.exit_text()}\n{worker.tail}" if worker else ""
        text = f"worker {slot.name} ended {recent} times within {_CRASH_WINDOW:g} s; last: {last}".strip()
        code = worker.process.returncode if worker else None
        self.failure = LoadFailure("CRASH_LOOP", text, code, time.time())
        self.dispatcher.give_up()
        self._changed()

    def _passed(self, slot: Slot, worker: spawn.Worker | None) -> None:
        """A worker that came out of a crash loop has lived long enough."""
        if slot.worker is worker and slot.loaded:
            slot.looping = False
            if not any(each.looping for each in self._slots):
                self.failure = None
            self._changed()
