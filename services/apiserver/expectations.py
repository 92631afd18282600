"""What was asked of the node and not seen yet, so that nothing is asked twice.

The shape is that of Kubernetes' controller expectations. Soft state: it is lost with the process, and the node's whole
state, which comes first on a new connection, takes its place.
"""

import collections
import dataclasses
from collections.abc import Sequence

from services.apiserver import model
from services.chassis import clock as clocks

# A node that has not shown in this time what it accepted has lost it.
PATIENCE_SECONDS = 30.0


@dataclasses.dataclass(slots=True)
class _Start:
    replica: model.Replica
    until: float
    sent: bool = False


class Expectations:
    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._starts: dict[str, dict[str, _Start]] = collections.defaultdict(dict)
        self._stops: dict[str, dict[str, float]] = collections.defaultdict(dict)

    def start(self, api: str, revision: str, replica: str) -> None:
        expected = model.Replica(replica, api, revision, model.ReplicaState.PENDING, self._clock.now())
        self._starts[api][replica] = _Start(expected, self._until())

    def sent(self, api: str, replica: str) -> None:
        if (start := self._starts[api].get(replica)) is not None:
            start.sent = True

    def unsent(self, api: str) -> list[model.Replica]:
        """Those whose start ended in doubt: to be asked for again, by the same id."""
        return [start.replica for start in self._starts[api].values() if not start.sent]

    def stop(self, api: str, replica: str) -> None:
        self._starts[api].pop(replica, None)
        self._stops[api][replica] = self._until()

    def overlay(self, api: str, observed: Sequence[model.Replica]) -> tuple[model.Replica, ...]:
        """`observed` as it will be once the node has caught up with what it was asked for."""
        now, seen = self._clock.monotonic(), {replica.id for replica in observed}
        starts, stops = self._starts[api], self._stops[api]
        for gone in [i for i, start in starts.items() if i in seen or now > start.until]:
            del starts[gone]
        for gone in [i for i, until in stops.items() if i not in seen or now > until]:
            del stops[gone]
        stopping = [_draining(replica) if replica.id in stops else replica for replica in observed]
        return (*stopping, *(start.replica for start in starts.values()))

    def forget(self, api: str) -> None:
        for memory in (self._starts, self._stops):
            memory.pop(api, None)

    def _until(self) -> float:
        return self._clock.monotonic() + PATIENCE_SECONDS


def _draining(replica: model.Replica) -> model.Replica:
    if replica.state is model.ReplicaState.STOPPED:
        return replica
    return dataclasses.replace(replica, state=model.ReplicaState.DRAINING)
