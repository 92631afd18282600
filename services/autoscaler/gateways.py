"""What the gateways last said about requests in flight, added up over gateways and over an API's revisions.

Soft state: a gateway that falls silent counts with its last word for a moment and is then forgotten. A report that does
not name an API says that nothing is in flight there, because gateways leave idle clusters out.
"""

import dataclasses
from collections.abc import Mapping

SILENCE = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """Requests in flight per API. `alive`: some gateway is known; `fresh`: one reported since the last look."""

    alive: bool
    fresh: bool
    mean: Mapping[str, float]
    latest: Mapping[str, int]


class _Gateway:
    __slots__ = ("gone", "heard", "last", "node", "reports", "sums")

    def __init__(self, node: str) -> None:
        self.node = node
        self.gone = False
        self.heard: float | None = None
        self.last: Mapping[str, int] = {}
        self.sums: dict[str, int] = {}
        self.reports = 0


class Gateways:
    def __init__(self) -> None:
        self._known: dict[int, _Gateway] = {}

    def arrived(self, stream: int, node: str) -> None:
        """A gateway opened a stream. What the same one said on a stream that ended no longer counts."""
        for old in [old for old, known in self._known.items() if known.gone and known.node == node]:
            del self._known[old]
        self._known[stream] = _Gateway(node)

    def left(self, stream: int) -> None:
        """A stream ended. Its last word counts until it is too old: the gateway itself may well be serving on."""
        if stream in self._known:
            self._known[stream].gone = True

    def report(self, stream: int, in_flight: Mapping[str, int], now: float) -> None:
        known = self._known[stream]
        known.heard, known.last = now, in_flight
        known.reports += 1
        for api, count in in_flight.items():
            known.sums[api] = known.sums.get(api, 0) + count

    def look(self, now: float) -> Load:
        """The load since the last look; begins the next."""
        self._forget(now)
        mean: dict[str, float] = {}
        latest: dict[str, int] = {}
        fresh = False
        for known in self._known.values():
            fresh = fresh or known.reports > 0
            sums, reports = (known.sums, known.reports) if known.reports else (known.last, 1)
            for api, total in sums.items():
                mean[api] = mean.get(api, 0.0) + total / reports
            for api, count in known.last.items():
                latest[api] = latest.get(api, 0) + count
            known.sums, known.reports = {}, 0
        return Load(any(known.heard is not None for known in self._known.values()), fresh, mean, latest)

    def _forget(self, now: float) -> None:
        for stream, known in list(self._known.items()):
            if known.heard is not None and now - known.heard > SILENCE:
                # One that speaks again on the same stream is met again.
                known.heard, known.last, known.sums, known.reports = None, {}, {}, 0
            if known.gone and known.heard is None:
                del self._known[stream]
