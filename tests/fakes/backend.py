"""`ports.BackendPort` without processes: replicas that start, fail, crash and drain on a given clock.

`observed` shows what was true at the last `tick`, as a real node's news take a moment.
"""

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Mapping

from services.apiserver import errors, model, ports
from services.chassis import clock as clocks

_RESTART_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """Of the replicas of one revision. `failure`: what loading ends in; `dies_serving`: what the first request does."""

    start_seconds: float = 1.0
    drain_seconds: float = 0.5
    failure: model.Reason | None = None
    dies_serving: bool = False


@dataclasses.dataclass
class _Process:
    replica: model.Replica
    since: float
    drain_until: float | None = None


class FakeBackend:
    """`on_start` and `on_stop` are told of every new wish, for tests that watch over the order of things."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._ports = itertools.count(20_000)
        self._processes: dict[str, _Process] = {}
        self._shown: dict[str, model.Replica] = {}
        self._heard: float | None = None
        self._changed: list[ports.Changed] = []
        self.behaviours: dict[str, Behaviour] = {}
        self.silent = False
        self.on_start: Callable[[model.Replica], None] = lambda replica: None
        self.on_stop: Callable[[model.Replica], None] = lambda replica: None

    async def start_replica(self, replica_id: str, revision: model.Revision) -> None:
        self._answer("start", replica_id)
        if replica_id in self._processes:
            return
        now, port = self._clock.now(), next(self._ports)
        replica = model.Replica(replica_id, revision.api, revision.id, model.ReplicaState.STARTING, now)
        addressed = dataclasses.replace(
            replica, http_address=f"127.0.0.1:{port}", grpc_address=f"127.0.0.1:{port + 5000}"
        )
        self._processes[replica_id] = _Process(addressed, now)
        self.on_start(addressed)

    async def stop_replica(self, replica_id: str, drain_timeout: float) -> None:
        self._answer("stop", replica_id)
        process = self._processes.get(replica_id)
        if process is None or process.drain_until is not None:
            return
        self.on_stop(process.replica)
        process.drain_until = self._clock.now() + min(drain_timeout, self._behaviour(process).drain_seconds)
        process.replica = dataclasses.replace(process.replica, state=model.ReplicaState.DRAINING)

    def observed(self) -> tuple[Mapping[str, model.Replica], float | None]:
        return self._shown, self._heard

    async def run(self, changed: ports.Changed) -> None:
        self._changed.append(changed)
        try:
            await asyncio.Event().wait()
        finally:
            self._changed.remove(changed)

    def tick(self) -> None:
        """Lets time do its work, then shows what is true."""
        for identity, process in list(self._processes.items()):
            if process.drain_until is not None and self._clock.now() >= process.drain_until:
                del self._processes[identity]
            elif process.drain_until is None:
                self._live(process)
        if not self.silent:
            self._show()

    def real(self) -> Mapping[str, model.Replica]:
        """What runs, whether it is shown or not."""
        return {identity: process.replica for identity, process in self._processes.items()}

    def forget_observation(self) -> None:
        """As after a restart of the apiserver: nothing is known until the next tick."""
        self._shown, self._heard = {}, None

    def serve(self, replica_id: str) -> bool:
        """One request. False when it failed."""
        process = self._processes.get(replica_id)
        if process is None or process.replica.state not in (model.ReplicaState.READY, model.ReplicaState.DRAINING):
            return False
        if self._behaviour(process).dies_serving:
            self.crash(replica_id)
            return False
        return True

    def crash(self, replica_id: str, reason: model.Reason = model.Reason.EXITED) -> None:
        process = self._processes[replica_id]
        now = self._clock.now()
        process.replica = dataclasses.replace(
            process.replica,
            state=model.ReplicaState.BACKING_OFF,
            restart_count=process.replica.restart_count + 1,
            last_failure=model.ReplicaFailure(
                reason, f"Traceback of {process.replica.revision}: {reason.value}", now, 1
            ),
        )
        process.since = now + _RESTART_SECONDS * min(process.replica.restart_count, 8)

    def wipe(self) -> None:
        """The machine lost everything."""
        self._processes.clear()

    def _live(self, process: _Process) -> None:
        behaviour, replica, now = self._behaviour(process), process.replica, self._clock.now()
        if replica.state is model.ReplicaState.BACKING_OFF and now >= process.since:
            process.replica = dataclasses.replace(replica, state=model.ReplicaState.STARTING)
        elif replica.state is model.ReplicaState.STARTING and now >= process.since + behaviour.start_seconds:
            if behaviour.failure is not None:
                self.crash(replica.id, behaviour.failure)
            else:
                process.replica = dataclasses.replace(replica, state=model.ReplicaState.READY, ready_time=now)

    def _show(self) -> None:
        before, self._shown, self._heard = self._shown, dict(self.real()), self._clock.now()
        differ = [
            identity
            for identity in before.keys() | self._shown.keys()
            if before.get(identity) != self._shown.get(identity)
        ]
        for api in sorted({(self._shown.get(identity) or before[identity]).api for identity in differ}):
            for changed in self._changed:
                changed(api)

    def _behaviour(self, process: _Process) -> Behaviour:
        return self.behaviours.get(process.replica.revision, Behaviour())

    def _answer(self, what: str, replica_id: str) -> None:
        if self.silent:
            raise errors.BackendUnavailable(f"the node did not {what} {replica_id}: it is silent")
