"""What the monitor knows in memory: takes reports, counts what was lost on the way, forgets who fell silent.

Sequence numbers tell what a replica cannot know: reports that never arrived. A number that was seen before is the same
report sent again after a broken stream, unless the replica began anew.
"""

import dataclasses
from collections.abc import Iterator, Mapping

from services.chassis import errors
from services.monitor import custom, model, windows

FRESH_SECONDS = 5.0
FORGOTTEN_SECONDS = 3600.0
_LATEST_SECONDS = 15 * model.MINUTE
_EARLIEST_SECONDS = 5.0


@dataclasses.dataclass(slots=True, eq=False)
class Replica:
    """One replica process, as of its last report."""

    timeline: windows.Timeline
    began: float
    """When it was first heard of."""
    sequence: int = 0
    end: float = 0.0
    lost_total: int = 0
    in_flight: int = 0
    queued: int = 0
    arrived: float = 0.0

    def is_fresh(self, now: float) -> bool:
        return now - self.arrived <= FRESH_SECONDS


@dataclasses.dataclass(slots=True, eq=False)
class Revision:
    """`total` only ever grows while the revision is known: the counters of Prometheus. `unsaved` names buckets."""

    timeline: windows.Timeline
    total: model.Tally
    replicas: dict[str, Replica]
    unsaved: set[tuple[int, int]]
    arrived: float = 0.0
    custom_metrics: custom.Series = dataclasses.field(default_factory=custom.Series)


class Registry:
    """Not safe for threads: it belongs to the loop."""

    def __init__(self, *, most_replicas: int) -> None:
        self._apis: dict[str, dict[str, Revision]] = {}
        self._most_replicas = most_replicas
        self._replicas = 0
        self.reports = 0

    def take(self, report: model.Report, now: float) -> None:
        """Raises errors.ResourceExhausted for a replica beyond the most that are kept."""
        known = self._apis.get(report.api, {}).get(report.revision)
        replica = known.replicas.get(report.replica) if known else None
        if replica is None:
            revision, replica = self._admit(report, now)
        else:
            assert known is not None
            revision = known
        self.reports += 1
        lost = _lost(replica, report)
        replica.arrived = revision.arrived = now
        if lost is None:
            return
        report.tally.lost = lost
        replica.sequence, replica.end, replica.lost_total = report.sequence, report.end, report.lost_total
        replica.in_flight, replica.queued = report.in_flight, report.queued
        # A clock that differs from ours must not put a report where nobody looks, nor into a bucket long closed.
        at = min(max(report.end, now - _LATEST_SECONDS), now) if report.end < now + _EARLIEST_SECONDS else now
        replica.timeline.add(at, report.tally)
        revision.total.add(report.tally)
        revision.custom_metrics.add(report.custom_metrics)
        if not report.tally.empty:
            touched = revision.timeline.add(at, report.tally)
            revision.unsaved.update(key for key in touched if key[0] != model.SECOND)

    def restore(self, bucket: model.Bucket) -> None:
        """Adds what was kept from before this process began; the counters of Prometheus begin at zero again."""
        revision = self._revision(bucket.api, bucket.revision)
        revision.timeline.bucket(bucket.resolution, bucket.start).add(bucket.tally)

    def revisions(self, api: str) -> Mapping[str, Revision]:
        return self._apis.get(api, {})

    def apis(self) -> Iterator[str]:
        return iter(sorted(self._apis))

    def forget(self, now: float) -> None:
        """Drops replicas that fell silent an hour ago, and revisions with nothing left to tell or to save."""
        for api, revisions in list(self._apis.items()):
            for name, revision in list(revisions.items()):
                revision.timeline.forget(now, revision.unsaved)
                self._forget_replicas(revision, now)
                if not revision.replicas and not revision.unsaved and revision.timeline.empty:
                    del revisions[name]
            if not revisions:
                del self._apis[api]

    def _forget_replicas(self, revision: Revision, now: float) -> None:
        for name, replica in list(revision.replicas.items()):
            replica.timeline.forget(now)
            if now - replica.arrived > FORGOTTEN_SECONDS:
                del revision.replicas[name]
                self._replicas -= 1

    def _admit(self, report: model.Report, now: float) -> tuple[Revision, Replica]:
        if self._replicas >= self._most_replicas:
            raise errors.ResourceExhausted(
                f"{self._replicas} replicas report already, which is the most; raise CORTEX_MONITOR_MOST_REPLICAS"
            )
        self._replicas += 1
        revision = self._revision(report.api, report.revision)
        replica = revision.replicas[report.replica] = Replica(windows.Timeline(windows.OF_REPLICA), now)
        return revision, replica

    def _revision(self, api: str, name: str) -> Revision:
        revisions = self._apis.setdefault(api, {})
        if name not in revisions:
            revisions[name] = Revision(windows.Timeline(windows.OF_REVISION), model.Tally(), {}, set())
        return revisions[name]


def _lost(replica: Replica, report: model.Report) -> int | None:
    """How many reports or observations are missing before this report; None when it has been counted already.

    The replica's own count and the gap may tell of the same loss, so the larger of the two counts.
    """
    if replica.sequence == 0:
        # First sight: all of a new process's losses are news, those of one that we forgot have been counted.
        return report.lost_total if report.sequence == 1 else 0
    if report.sequence > replica.sequence:
        gap = report.sequence - replica.sequence - 1
        return max(gap, report.lost_total - replica.lost_total, 0)
    if report.start >= replica.end:
        return max(report.sequence - 1, report.lost_total)
    return None
