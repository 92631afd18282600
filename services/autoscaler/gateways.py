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
    __slots__ = ("heard", "last", "reports", "sums")

    def __init__(self) -> None:
        self.heard = 0.0
        self.last: Mapping[str, int] = {}
        self.sums: dict[str, int] = {}
        self.reports = 0


class Gateways:
    def __init__(self) -> None:
        self._known: dict[str, _Gateway] = {}

    def report(self, gateway: str, in_flight: Mapping[str, int], now: float) -> None:
        known = self._known.setdefault(gateway, _Gateway())
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
        return Load(bool(self._known), fresh, mean, latest)

    def _forget(self, now: float) -> None:
        for name in [name for name, known in self._known.items() if now - known.heard > SILENCE]:
            del self._known[name]
