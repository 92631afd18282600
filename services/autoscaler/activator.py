"""The place where a request waits for the first replica: held, then let through, or refused with the reason.

The gateway holds the request itself; here lives only the waiting. What ends a wait is one pure function, `verdict`.
A waiter costs one task and one slot of its API, and gives both back however it ends, also when the client goes away.
"""

import asyncio
import dataclasses
import math
from collections.abc import Callable

import structlog

from services.autoscaler import catalog, model
from services.chassis import clock

_log = structlog.get_logger("activator")
# A route can reach the gateway a moment before its API reaches us.
_STRANGER_PATIENCE = 5.0
_UNSYNCED_PATIENCE = 120.0
_FALLBACK_LIMIT = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let through. `retry_after` in whole seconds."""

    message: str
    retry_after: int


@dataclasses.dataclass(frozen=True, slots=True)
class Pass:
    """The request may go to a replica."""


PASS = Pass()
Outcome = Pass | Refusal


def verdict(api: model.Api | None) -> Outcome | None:
    """What to do with a held request now; None is: wait on."""
    if api is None:
        return None
    if api.deleting:
        return Refusal(f"{api.name} is being removed", 10)
    # At zero wanted the replicas that are still routable are on their way out.
    if api.routable >= 1 and api.desired >= 1:
        return PASS
    failure = api.failure
    # At zero wanted nobody has tried lately, so a reason that may have passed does not count; a final one does.
    if failure is not None and api.ready == 0 and (failure.final or api.desired >= 1):
        # The user's traceback is for the user, who has it from `cortex describe`, and not for callers of the API.
        short = api.name.rpartition("/")[2]
        return Refusal(f"{api.name} cannot start: {failure.reason}; see `cortex describe {short}`", 10)
    return None


class Activator:
    """`wake(api)` is called once when an API gets its first held request; more join without a further call."""

    def __init__(self, *, known: catalog.Catalog, wake: Callable[[str], None], time: clock.Clock) -> None:
        self._catalog = known
        self._wake = wake
        self._clock = time
        self._held: dict[str, int] = {}

    def held(self, api: str) -> int:
        return self._held.get(api, 0)

    async def admit(self, name: str, budget: float | None) -> Outcome:
        """Waits until `name` is routable. `budget` is what the caller and the gateway leave us, None for no limit."""
        outcome = verdict(self._catalog.get(name))
        if outcome is not None:
            return outcome
        limit = self._limit(name)
        if self.held(name) >= limit:
            return Refusal(f"{name} has no replica yet and {limit} requests wait for one already", 1)
        self._held[name] = self.held(name) + 1
        began = self._clock.monotonic()
        try:
            if self._held[name] == 1:
                self._wake(name)
            outcome = await self._wait(name, began, math.inf if budget is None else budget)
        finally:
            self._release(name)
        waited = round(self._clock.monotonic() - began, 3)
        ending = outcome.message if isinstance(outcome, Refusal) else "passed"
        _log.info("held", api=name, seconds=waited, ending=ending)
        return outcome

    async def _wait(self, name: str, began: float, budget: float) -> Outcome:
        while True:
            bell = self._catalog.bell(name)
            outcome = verdict(self._catalog.get(name))
            if outcome is not None:
                return outcome
            patience = min(budget, self._patience(name))
            left = began + patience - self._clock.monotonic()
            try:
                # Not wait_for: it can swallow a cancellation that comes together with the bell.
                async with asyncio.timeout(max(0.0, left) if left < math.inf else None):
                    await bell.wait()
            except TimeoutError:
                return self._out_of_time(name, patience)

    def _patience(self, name: str) -> float:
        api = self._catalog.get(name)
        if api is not None:
            return api.activation_timeout
        return _STRANGER_PATIENCE if self._catalog.synced else _UNSYNCED_PATIENCE

    def _out_of_time(self, name: str, patience: float) -> Refusal:
        if self._catalog.get(name) is None:
            return Refusal(f"{name} is not known to the autoscaler; see whether the apiserver runs", 5)
        return Refusal(f"{name} had no replica ready within {patience:.1f} s; it is still starting, try again", 5)

    def _limit(self, name: str) -> int:
        api = self._catalog.get(name)
        return api.scaling.max_replica_concurrency if api is not None else _FALLBACK_LIMIT

    def _release(self, name: str) -> None:
        left = self._held[name] - 1
        if left:
            self._held[name] = left
        else:
            del self._held[name]
