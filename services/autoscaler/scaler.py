"""The loop: once a second, look at every API, decide, write what changed. No arithmetic here.

A decision that could not be written is made again a second later, so a failed write needs no memory. One write per API
is under way at a time. A woken API is decided on at once, between two ticks.
"""

import asyncio
import dataclasses
from typing import Generic, TypeVar

import structlog

from services.autoscaler import catalog, explain, gateways, history, model, planner, policy, ports, window
from services.chassis import clock, errors

_log = structlog.get_logger("scaler")
M = TypeVar("M")
_WRITES_AT_ONCE = 16
# So many decisions, then the loop is free for those who wait: held requests and load reports.
_SHARE = 100


@dataclasses.dataclass(slots=True)
class _Watched(Generic[M]):
    """What is kept of one API between two looks. Lost on restart, by design."""

    uid: str
    window: window.Window
    memory: planner.Memory[M]
    history: history.History


class Scaler(Generic[M]):
    def __init__(
        self,
        *,
        rule: policy.Policy[M],
        known: catalog.Catalog,
        load: gateways.Gateways,
        scales: ports.ScalePort,
        time: clock.Clock,
        interval: float,
    ) -> None:
        self._rule = rule
        self._catalog = known
        self._gateways = load
        self._scales = scales
        self._clock = time
        self._interval = interval
        self._held: ports.HeldPort | None = None
        self._load = gateways.Load(alive=False, fresh=False, mean={}, latest={})
        self._watched: dict[str, _Watched[M]] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_WRITES_AT_ONCE)

    def count_held(self, held: ports.HeldPort) -> None:
        """The activator needs `wake` and this needs the activator: the second of the two is told here."""
        self._held = held

    async def run(self) -> None:
        due = self._clock.monotonic()
        while True:
            await self.tick()
            due = max(due + self._interval, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())

    async def tick(self) -> None:
        """Decides about every API once."""
        self._load = self._gateways.look(self._clock.monotonic())
        for number, api in enumerate(list(self._catalog.apis().values()), 1):
            self._sample(api)
            self._consider(api)
            if number % _SHARE == 0:
                await asyncio.sleep(0)
        for name in set(self._watched) - set(self._catalog.apis()):
            del self._watched[name]

    def wake(self, name: str) -> None:
        """Somebody waits for this API: decides about it now."""
        # In the next turn of the loop, so that requests which arrived together are counted together.
        asyncio.get_running_loop().call_soon(self._consider_named, name)

    def decisions(self, name: str) -> history.History | None:
        watched = self._watched.get(name)
        return watched.history if watched is not None else None

    async def settled(self) -> None:
        """Waits until no write is under way."""
        while self._writing:
            await asyncio.gather(*self._writing.values(), return_exceptions=True)

    def _of(self, api: model.Api) -> _Watched[M]:
        watched = self._watched.get(api.name)
        if watched is None or watched.uid != api.uid:
            memory = planner.begin(self._rule, self._clock.monotonic())
            watched = _Watched(api.uid, window.Window(), memory, history.History())
            self._watched[api.name] = watched
        return watched

    def _sample(self, api: model.Api) -> None:
        if self._load.fresh:
            value = self._load.mean.get(api.name, 0.0) + self._count_held(api.name)
            self._of(api).window.add(self._clock.monotonic(), value)

    def _consider_named(self, name: str) -> None:
        api = self._catalog.get(name)
        if api is not None:
            self._consider(api)

    def _consider(self, api: model.Api) -> None:
        if api.deleting:
            return
        watched, now = self._of(api), self._clock.monotonic()
        seen = self._observe(api, watched, now)
        decision, watched.memory = planner.plan(self._rule, watched.memory, seen, api.scaling, now)
        watched.history.add(decision, self._clock.now())
        if decision.changes and api.name not in self._writing:
            task = asyncio.ensure_future(self._write(api.name, decision))
            self._writing[api.name] = task
            task.add_done_callback(lambda _: self._writing.pop(api.name, None))

    def _observe(self, api: model.Api, watched: _Watched[M], now: float) -> model.Observation:
        average = watched.window.average(now, api.scaling.window)
        return model.Observation(
            current=api.desired,
            ready=api.ready,
            held=self._count_held(api.name),
            in_flight=self._load.latest.get(api.name, 0),
            average_in_flight=average,
            blindness=self._blindness(api, average, now),
        )

    def _blindness(self, api: model.Api, average: float | None, now: float) -> model.Blindness | None:
        if not self._catalog.fresh(now):
            return model.Blindness.APISERVER_SILENT
        if not self._load.alive:
            return model.Blindness.NO_REPORT
        if average is None:
            return model.Blindness.NO_SAMPLE
        return None if api.replicas_known else model.Blindness.REPLICAS_UNKNOWN

    def _count_held(self, name: str) -> int:
        return self._held.held(name) if self._held is not None else 0

    async def _write(self, name: str, decision: model.Decision) -> None:
        why = explain.sentence(decision)
        numbers = {"api": name, "from_replicas": decision.current, "to_replicas": decision.desired}
        try:
            async with self._slots:
                await self._scales.scale(name, decision.desired, why)
        except errors.CortexError as error:
            _log.warning("could not scale; deciding again shortly", **numbers, error=error.message)
            return
        _log.info("scaled", **numbers, term=decision.winning.value, why=why)
