"""How often each replica was seen to fall over after it had been ready.

A worker's death does not end the replica's process, so `restart_count` does not tell; a replica that goes from READY to
UNREADY does. Soft state: a restarted apiserver begins to count anew, which makes it slower to condemn, never quicker.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from services.apiserver import model, rollout


@dataclasses.dataclass(slots=True)
class _Record:
    state: model.ReplicaState
    falls: int = 0
    failures: set[float] = dataclasses.field(default_factory=set)


class CrashLedger:
    def __init__(self) -> None:
        self._apis: dict[str, dict[str, _Record]] = {}

    def count(self, api: str, observed: Sequence[model.Replica]) -> Mapping[str, int]:
        """Takes note of what is observed; returns the count of each replica so far."""
        before = self._apis.get(api, {})
        kept = {replica.id: _noted(before.get(replica.id), replica) for replica in observed}
        self._apis[api] = kept
        # One crash can show both ways: the larger count is the number of incidents, their sum is not.
        return {identity: max(record.falls, len(record.failures)) for identity, record in kept.items()}

    def forget(self, api: str) -> None:
        self._apis.pop(api, None)


def _noted(record: _Record | None, replica: model.Replica) -> _Record:
    record = record or _Record(replica.state)
    if replica.state is model.ReplicaState.UNREADY and record.state is not model.ReplicaState.UNREADY:
        record.falls += 1
    failure = replica.last_failure
    if failure is not None and failure.reason in rollout.CRASHES:
        record.failures.add(failure.time)
    record.state = replica.state
    return record
