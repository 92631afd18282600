"""One replica, kept as wished: observe, plan, apply, tell - again whenever something happens, until it is removed."""

import asyncio
import contextlib
import dataclasses
import os
import random
from collections.abc import Callable
from typing import assert_never

import structlog

from services.chassis import clock, processes
from services.node import actions, failures, model, planner, ports

_log = structlog.get_logger("reconciler")
_AFTER_ERROR = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """What every reconciler works with."""

    preparer: ports.PreparerPort
    processes: ports.ProcessPort
    records: ports.RecordPort
    addresses: ports.AddressPort
    cores: ports.CorePort
    clock: clock.Clock
    rng: random.Random
    policy: planner.Policy


class Reconciler:
    """Only `run` changes the record; others leave wishes (`stop`) and wake it."""

    def __init__(self, record: model.Record, tools: Tools, changed: Callable[["Reconciler"], None]) -> None:
        self._record = record
        self._tools = tools
        self._changed = changed
        self._preparation = model.Preparation()
        self._preparing: asyncio.Task[None] | None = None
        self._stop: model.StopIntent | None = None
        self._wake = asyncio.Event()
        self._stop_kept = asyncio.Event()
        self._pidfd: tuple[processes.Identity, int] | None = None
        self.removed = False
        self.view = planner.view(record, model.Observation(), tools.policy)

    @property
    def record(self) -> model.Record:
        return self._record

    async def stop(self, drain_timeout: float) -> None:
        """Returns once the wish is on disk, so that a restarted node goes on with it."""
        if self._record.stop is None and not self.removed:
            self._stop = model.StopIntent(drain_timeout)
            self._wake.set()
            await self._stop_kept.wait()

    async def run(self) -> None:
        try:
            while not self.removed:
                await self._sleep(await self._safely())
        finally:
            self._unwatch()
            if self._preparing is not None:
                self._preparing.cancel()

    async def _safely(self) -> float | None:
        """A pass; what it could not do (a full disk, say) is tried again and ends nobody else's."""
        try:
            return await self._pass()
        except Exception as error:
            _log.exception("pass failed", replica=self._record.wish.replica, error=str(error))
            return _AFTER_ERROR

    async def _pass(self) -> float | None:
        self._wake.clear()
        tools = self._tools
        if self._stop is not None and self._record.stop is None:
            await self._keep(dataclasses.replace(self._record, stop=self._stop))
        before = self._record
        self._watch()
        seen = tools.processes.observe(before, self._preparation)
        plan = planner.plan(before, seen, tools.policy, now=tools.clock.now(), rng=tools.rng)
        if plan.steps:
            _log.info("plan", replica=before.wish.replica, steps=[type(a).__name__ for a in plan.steps])
        await self._keep(plan.record)
        if self._preparation.progress is model.Progress.FAILED or (before.launch and not plan.record.launch):
            # Looked at anew before the next run: what is cached costs nothing, what was deleted comes back.
            self._preparation = model.Preparation()
        for action in plan.steps:
            await self._apply(action, before)
        if plan.record.launch is None:
            seen = model.Observation(preparation=self._preparation)
        self._tell(seen)
        return plan.wait

    async def _keep(self, record: model.Record) -> None:
        if record != self._record:
            await asyncio.to_thread(self._tools.records.save, record)
            self._record = record
        if self._record.stop is not None:
            self._stop_kept.set()

    async def _apply(self, action: actions.Action, before: model.Record) -> None:
        match action:
            case actions.Prepare():
                self._preparation = model.Preparation(model.Progress.BUNDLE)
                self._preparing = asyncio.create_task(self._prepare())
            case actions.Launch():
                await self._launch()
            case actions.Terminate():
                assert before.launch is not None
                self._tools.processes.terminate(before.launch.identity)
            case actions.Kill():
                assert before.launch is not None
                self._tools.processes.kill(before.launch.identity)
            case actions.Remove():
                await self._remove()
            case _:
                assert_never(action)

    async def _launch(self) -> None:
        prepared = self._preparation.prepared
        assert prepared is not None
        record, tools = self._record, self._tools
        if not tools.processes.addresses_free(record):
            _log.warning("somebody else took the replica's ports; it gets others", replica=record.wish.replica)
            http, grpc = tools.addresses.allocate()
            record = dataclasses.replace(record, http_address=http, grpc_address=grpc)
            tools.addresses.release(self._record)
            tools.addresses.hold(record)
        launch = tools.processes.launch(record, prepared)
        await self._keep(dataclasses.replace(record, launch=launch, environment=prepared.environment))
        self._watch()

    async def _prepare(self) -> None:
        def tell(progress: model.Progress, message: str) -> None:
            self._preparation = model.Preparation(progress, message)
            self._wake.set()

        try:
            prepared = await self._tools.preparer.prepare(self._record.wish, tell)
            self._preparation = model.Preparation(model.Progress.DONE, "environment ready", prepared=prepared)
        except failures.PreparationFailed as error:
            self._fail(error.reason, error.message)
        except Exception as error:
            _log.exception("preparation failed", replica=self._record.wish.replica)
            self._fail(model.Reason.ENVIRONMENT_FAILED, f"the node could not prepare the replica: {error!r}")
        self._wake.set()

    def _fail(self, reason: model.Reason, message: str) -> None:
        failure = model.Failure(reason, message, self._tools.clock.now())
        self._preparation = model.Preparation(model.Progress.FAILED, failure=failure)

    async def _remove(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        self._tools.processes.forget(self._record)
        await asyncio.to_thread(self._tools.records.remove, self._record)
        self._tools.addresses.release(self._record)
        self._tools.cores.release(self._record)
        self.removed = True

    def _tell(self, seen: model.Observation) -> None:
        view = planner.view(self._record, seen, self._tools.policy)
        if view != self.view or self.removed:
            self.view = view
            self._changed(self)

    def _watch(self) -> None:
        """Death of the process wakes us at once, whether it is our child or an adopted one."""
        launch = self._record.launch
        if launch is not None and self._pidfd is not None and self._pidfd[0] == launch.identity:
            return
        self._unwatch()
        if launch is None:
            return
        descriptor = processes.open_pidfd(launch.identity)
        if descriptor is not None:
            self._pidfd = (launch.identity, descriptor)
            asyncio.get_running_loop().add_reader(descriptor, self._died)

    def _died(self) -> None:
        assert self._pidfd is not None
        # It stays readable for ever: heard once is enough.
        asyncio.get_running_loop().remove_reader(self._pidfd[1])
        self._wake.set()

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd[1])
            os.close(self._pidfd[1])
            self._pidfd = None

    async def _sleep(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
