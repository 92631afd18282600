"""Keeps the workers alive: loads them, notices their end, restarts them with growing patience, and knows what to say.

A predictor that cannot be loaded at the start ends the replica with the user's traceback. Later a worker's end costs
the requests inside it and a restart; one that ends again and again is reported as a crash loop. A worker that is due
(memory, max_requests) is replaced without losing a request: its successor is loaded before it leaves where there is
room for both.
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime import asks, fork_server, guard, head_start, logs, memory, neuron, slots, spawn
from runtime.config import Settings
from runtime.dispatch import Dispatcher
from runtime.life import Life
from runtime.state_file import LoadFailure
from runtime.user_python import Interpreter
from runtime.watch import Watch
from services.chassis import backoff

_STOP_SECONDS = 2.0
# Where a worker leaves before its successor has loaded, callers are better off waiting than elsewhere if it takes less.
_SHORT_LOAD_SECONDS = 10.0
# A successor that could not be loaded is not tried again before.
_SUCCESSOR_PAUSE = 30.0


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
        running: head_start.Launched | None = None,
    ) -> None:
        self.asks = answers
        self.bodies: Mapping[str, Any] | None = None  # where workers find large request bodies
        self.settings = settings
        self.dispatcher = dispatcher
        self.log = log
        self.watch = watch
        self._interpreter = Interpreter(settings, os.environ)
        self.failure: LoadFailure | None = None
        self.fatal: asyncio.Future[LoadFailure] = asyncio.get_running_loop().create_future()
        self.launched = asyncio.Event()  # every worker has begun to load
        self.started = False  # every worker was loaded once
        self.on_change = changed
        self._slots = [slots.Slot(index) for index in range(settings.processes)]
        self._tasks: asyncio.TaskGroup | None = None
        self.fork_server = self._forking(running)
        self._stopping = False
        self._rng = random.Random()
        self._backoff = backoff.Backoff(first=0.1, longest=30.0)

    def _forking(self, running: head_start.Launched | None) -> fork_server.ForkServer | None:
        settings = self.settings
        if settings.worker.start == "spawn" or not head_start.supported():
            return None
        fork_server.adopt_orphans()
        server = fork_server.ForkServer(
            self._interpreter,
            head_start.plan(settings),
            running=running,
            start_timeout=settings.start_timeout,
            log=self.log,
            watch=self.watch,
            answers=self.asks,
        )
        server.on_launch = self._on_server_launch
        return server

    async def make(self, fds: Sequence[int]) -> spawn.Process:
        """A worker's process. Raises OSError."""
        server = self.fork_server
        if server is not None:
            try:
                return await server.fork(fds)
            except fork_server.Unavailable as error:
                if server.loads or isinstance(error, fork_server.TooSlow):
                    raise
        return self._interpreter.run("worker", fds[:-2], fds[-2], fds[-1])

    @property
    def ready(self) -> bool:
        return self.started and any(slot.serving for slot in self._slots)

    @property
    def lives(self) -> list[Life]:
        return [life for slot in self._slots for life in slot.lives]

    def describe(self) -> list[dict[str, Any]]:
        return [line for slot in self._slots for line in slot.describe()]

    @property
    def fork_server_pid(self) -> int | None:
        return self.fork_server.pid if self.fork_server is not None else None

    async def run(self) -> None:
        """Until cancelled; a failure of the first load ends up in `fatal`."""
        try:
            neuron.ranges(*self.settings.neuron_cores, self.settings.processes)
        except neuron.Indivisible as error:
            self.launched.set()
            self.fatal.set_result(LoadFailure("INVALID_PREDICTOR", str(error), None, time.time()))
            return
        async with asyncio.TaskGroup() as group:
            self._tasks = group
            if self.fork_server is not None:
                group.create_task(self.fork_server.run())
            for slot in self._slots:
                group.create_task(self._keep(slot))
            group.create_task(Watch(self).run())

    # What lives report.

    def on_launch(self) -> None:
        if all(life.worker for slot in self._slots for life in slot.lives):
            self.launched.set()

    def _on_server_launch(self) -> None:
        self.launched.set()
        self.on_change()

    def joined(self, life: Life, offer: Mapping[str, Any]) -> None:
        self.dispatcher.joined(life.link, offer)
        if all(slot.loaded for slot in self._slots):
            self.started = True
        slot = self._slots[life.index]
        slot.between = False
        if slot.looping:
            asyncio.get_running_loop().call_later(slot.trial, self._passed, slot, life)
        elif self.failure is not None and self.ready:
            self.failure = None
        self.on_change()

    def left(self, life: Life, worker: spawn.Worker) -> None:
        self.dispatcher.left(worker.link, worker.begun)
        slot = self._slots[life.index]
        if worker.link.leaving:
            slot.lives.remove(life)
            if worker.process.returncode != 0 and not self._stopping:
                self._explain(slot, life)
        self.on_change()

    async def stop(self) -> None:
        """Lets the workers end by themselves for a moment, then ends them."""
        self._stopping = True
        lives = [life for life in self.lives if life.running]
        for life in lives:
            life.link.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*(life.over.wait() for life in lives))
        for life in lives:
            if life.running and life.worker is not None:
                life.worker.kill()
        if self.fork_server is not None:
            self.fork_server.close()

    # The course of a slot.

    async def _keep(self, slot: slots.Slot) -> None:
        life = self._begin(slot)
        while True:
            await life.due.wait()
            if self._stopping:
                return
            if not life.over.is_set():
                life = await self._replace(slot, life)
            elif await self._after_death(slot, life):
                life = self._begin(slot)
            else:
                return

    def _begin(self, slot: slots.Slot) -> Life:
        assert self._tasks is not None
        slot.lives = [life for life in slot.lives if not life.over.is_set()]
        life = Life(slot.name, slot.index, self)
        slot.lives.append(life)
        self._tasks.create_task(life.run())
        return life

    async def _after_death(self, slot: slots.Slot, life: Life) -> bool:
        """Whether there is to be another worker, after the pause it takes."""
        slot.between = False
        self._explain(slot, life)
        if not self.started and life.failure is not None:
            if not self.fatal.done():
                self.fatal.set_result(life.failure)
            return False
        answered = life.failure is None and life.worker is not None and life.link.answered
        recent = slot.crashed(time.monotonic(), answered=answered)
        if slot.looping:
            self._report_loop(slot, life, recent)
        if recent > 1:
            await asyncio.sleep(self._backoff.delay(recent - 2, self._rng))
        return not self._stopping

    async def _replace(self, slot: slots.Slot, life: Life) -> Life:
        """Puts another worker into the place of one that is due. Returns who has the place now."""
        self.log.line("info", f"replacing worker {slot.name}: {life.replace_for}", source="cortex", worker=slot.name)
        if not await self._has_room_beside(life):
            slot.between = life.load_seconds < _SHORT_LOAD_SECONDS
            life.retire(self.settings.drain_timeout)
            await life.over.wait()
            return self._begin(slot)
        successor = self._begin(slot)
        await successor.settled.wait()
        if successor.loaded and not self._stopping:
            life.retire(self.settings.drain_timeout)
            if life.over.is_set() and life in slot.lives:
                slot.lives.remove(life)
                self._explain(slot, life)
            return successor
        if not self._stopping:
            self._explain(slot, successor)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SUCCESSOR_PAUSE):
                    await life.over.wait()
        life.keep()
        return life

    async def _has_room_beside(self, life: Life) -> bool:
        """Whether a second worker fits into memory, and on the devices that a worker may hold for itself."""
        if self.settings.has_devices or life.pid is None:
            return False
        others = [each.pid for each in self.lives if each.pid is not None and each.running]
        return await asyncio.to_thread(
            memory.has_room, life.pid, [os.getpid(), *others], self.settings.memory_bytes
        )  # fmt: skip

    # What is said about it.

    def _explain(self, slot: slots.Slot, life: Life) -> None:
        slot.last_end = life.cause[0] if life.cause else ""
        if life.failure is not None:
            failure = life.failure
            self.log.line("error", failure.message, source="cortex", worker=slot.name, reason=failure.reason)
        else:
            reason = life.cause[0] if life.cause else "WORKER_DIED"
            leaving = life.worker is not None and life.link.leaving
            text = f"worker {slot.name} {life.end_text()}" + (" while it left" if leaving else "; restarting")
            self.log.line("error", text, source="cortex", worker=slot.name, reason=reason)

    def _report_loop(self, slot: slots.Slot, life: Life, recent: int) -> None:
        tail = life.worker.tail if life.worker else ""
        last = life.failure.message if life.failure else f"{life.end_text()}\n{tail}"
        text = f"worker {slot.name} ended {recent} times within {slots.CRASH_WINDOW:g} s; last: {last}".strip()
        code = life.worker.process.returncode if life.worker else None
        self.failure = LoadFailure("CRASH_LOOP", text, code, time.time())
        self.dispatcher.give_up()
        self.on_change()

    def _passed(self, slot: slots.Slot, life: Life) -> None:
        """A worker that came out of a crash loop has lived long enough."""
        if life.running and life.loaded:
            slot.looping = False
            if not any(each.looping for each in self._slots):
                self.failure = None
            self.on_change()
