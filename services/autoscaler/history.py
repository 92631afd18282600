"""The decisions of the last hour, runs of equal ones folded into one, so that a quiet night is one line."""

import collections
import dataclasses
from collections.abc import Sequence

from services.autoscaler import model

KEPT = 3600.0
_MOST = 1000


@dataclasses.dataclass(slots=True)
class Record:
    """A run of equal decisions: when the first and the last of them were made (epoch), and the last one."""

    first: float
    last: float
    decision: model.Decision


class History:
    """Of one API."""

    def __init__(self) -> None:
        self._records: collections.deque[Record] = collections.deque(maxlen=_MOST)

    def add(self, decision: model.Decision, now: float) -> None:
        newest = self._records[-1] if self._records else None
        if newest is not None and _same(newest.decision, decision):
            newest.last, newest.decision = max(now, newest.last), decision
        else:
            self._records.append(Record(now, now, decision))
        while now - self._records[0].last > KEPT:
            self._records.popleft()

    def newest(self) -> Record | None:
        return self._records[-1] if self._records else None

    def newest_first(self) -> Sequence[Record]:
        return list(reversed(self._records))


def _same(one: model.Decision, other: model.Decision) -> bool:
    return (
        one.desired == other.desired
        and one.current == other.current
        and one.winning is other.winning
        and one.seen.blindness is other.seen.blindness
    )
