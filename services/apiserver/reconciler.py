"""Keeps the world as the records say: observe, plan, apply, report, for one API at a time. The planner decides."""

import asyncio
import random
from collections.abc import Sequence
from typing import Protocol

import structlog

from services.apiserver import (
    actions,
    crashes,
    errors,
    executor,
    expectations,
    model,
    observation,
    planner,
    ports,
    routes,
)
from services.chassis import backoff, workqueue
from services.chassis import clock as clocks

WORKERS = 4
# Half of the age at which an observation counts as stale: a status that nothing has changed keeps a young
# observe_time, and a lost notification costs no more than this.
RESYNC_SECONDS = 5.0
_READ_SECONDS = 10.0
_RETRY = backoff.Backoff(first=0.1, longest=10.0)
_log = structlog.get_logger("reconciler")


class BoardPort(Protocol):
    """Where statuses are shown."""

    def put(self, api: model.Api, status: model.Status) -> None: ...

    def get(self, name: str) -> model.Status | None: ...

    def removed(self, name: str) -> None: ...


class Reconciler:
    """`changed(name)` asks for a look at one API; `run` works until cancelled, and watches the node meanwhile."""

    def __init__(
        self,
        *,
        store: ports.StorePort,
        backend: ports.BackendPort,
        gateway: ports.GatewayPort,
        board: BoardPort,
        clock: clocks.Clock,
        rng: random.Random,
        gateway_url: str = "",
    ) -> None:
        self._store = store
        self._backend = backend
        self._gateway = gateway
        self._board = board
        self._clock = clock
        self._rng = rng
        self._gateway_url = gateway_url
        self._began = clock.now()
        self._table = routes.RouteTable(gateway)
        self._expected = expectations.Expectations(clock)
        self._crashes = crashes.CrashLedger()
        self._executor = executor.Executor(store=store, backend=backend, table=self._table, expected=self._expected)
        self._queue = workqueue.WorkQueue(_RETRY, rng)
        gateway.on_change(self.changed)

    def changed(self, api: str) -> None:
        self._queue.add(api)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._backend.run(self.changed), name="watch node")
            tasks.create_task(self._resync(), name="resync")
            for number in range(WORKERS):
                tasks.create_task(self._queue.work(self.reconcile), name=f"reconcile {number}")

    async def reconcile(self, name: str) -> float | None:
        """One pass. Returns seconds until the next is wanted, None for when something changes."""
        async with asyncio.timeout(_READ_SECONDS):
            seen = await self._observe(name)
        plan = planner.plan(seen, self._clock.now(), self._rng)
        if plan.actions:
            _log.info("plan", api=name, actions=plan.lines())
        try:
            written = await self._executor.apply(name, plan, seen.revisions)
        except errors.Aborted:
            # A user or the autoscaler wrote the record meanwhile; what was planned was planned for another wish.
            return 0.0
        except Exception:
            self._report(name, seen.api, plan)
            raise
        self._report(name, written or seen.api, plan)
        await self._show(name, plan)
        return plan.requeue

    async def _observe(self, name: str) -> observation.Observation:
        try:
            api = await self._store.get_api(name)
        except errors.NotFound:
            api = None
        everything, observe_time = self._backend.observed()
        replicas = [replica for replica in everything.values() if replica.api == name]
        view = self._gateway.view()
        expected = self._expected.overlay(name, replicas)
        return observation.Observation(
            name=name,
            api=api,
            revisions=await self._revisions(api, expected) if api is not None else {},
            replicas=expected if observe_time is not None else None,
            observe_time=observe_time,
            gateway=view,
            gateway_open=self._table.open,
            gateway_silent_since=max(self._began, view.last_seen or 0.0),
            published=self._table.get(name),
            previous=self._board.get(name),
            crashes=self._crashes.count(name, replicas),
            gateway_url=self._gateway_url,
        )

    async def _revisions(self, api: model.Api, replicas: tuple[model.Replica, ...]) -> dict[str, model.Revision]:
        wanted = {api.target_revision, api.serving_revision, *(replica.revision for replica in replicas)}
        if api.rollout is not None:
            wanted |= {api.rollout.from_revision, api.rollout.to_revision}
        found = {}
        for identity in sorted(wanted - {""}):
            try:
                found[identity] = await self._store.get_revision(api.name, identity)
            except errors.NotFound:
                _log.warning("a revision is not in the database", api=api.name, revision=identity)
        return found

    def _report(self, name: str, api: model.Api | None, plan: planner.Plan) -> None:
        removed = any(isinstance(action, actions.RemoveApi) for action in plan.actions)
        if api is None or plan.status is None or removed:
            self._board.removed(name)
        else:
            self._board.put(api, plan.status)
        if removed:
            self._expected.forget(name)
            self._crashes.forget(name)

    async def _show(self, name: str, plan: planner.Plan) -> None:
        """Opens the route table once this was the last API that had to be planned first."""
        if not plan.synced or self._table.open or not self._table.planned(name):
            return
        async with asyncio.timeout(_READ_SECONDS):
            names = await self._store.list_names()
        self._open(names)

    def _open(self, names: Sequence[str]) -> None:
        if self._table.open_when_complete(names):
            _log.info("gateways are served", routes=len(names))
            for each in names:
                self.changed(each)

    async def _resync(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_READ_SECONDS):
                    await self._look_at_all()
            except Exception as error:
                _log.warning("could not list the APIs, will retry", error=str(error))
            await self._clock.sleep(RESYNC_SECONDS)

    async def _look_at_all(self) -> None:
        names = await self._store.list_names()
        # Of an empty cluster nothing can shrink: its gateway gets its listener at once.
        self._open(names)
        observed, _ = self._backend.observed()
        for name in sorted({*names} | {replica.api for replica in observed.values()}):
            self.changed(name)
