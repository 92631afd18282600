"""Metrics of the user's own, from the workers' `metrics_client` (shim/custom_metrics.py) to the next report."""

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtime import sketch

if TYPE_CHECKING:
    from cortex.monitor.v1 import monitor_service_pb2 as pb

_MOST_SERIES = 1000
_MOST_TAGS = 16
_MOST_TOLD = 10
_LONGEST_NAME = 200
_LONGEST_TAG = 256
_UNFIT = re.compile(r"[^a-zA-Z0-9_]")
Key = tuple[str, str, tuple[tuple[str, str], ...]]


class Unfit(ValueError):
    """A series that is not taken; the text is for the user."""


class CustomMetrics:
    """Owned by the event loop. The bound on series is one of the process's life, as that of the monitor is."""

    def __init__(self) -> None:
        self._gauges: dict[Key, float] = {}
        self._counters: dict[Key, float] = {}
        self._histograms: dict[Key, sketch.Sketch] = {}
        self._kinds: dict[str, str] = {}
        self._seen: set[Key] = set()

    async def answer(self, meta: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Handler of asks. The worker is the user's: nothing it says is taken for granted."""
        refused: set[str] = set()
        told = meta.get("series")
        for one in told if isinstance(told, list) else []:
            try:
                self._take(*one)
            except Unfit as error:
                refused.add(str(error))
            except (TypeError, ValueError, AttributeError):
                refused.add(f"{str(one)[:100]!r} is no metric")
        return {"refused": sorted(refused)[:_MOST_TOLD]}, b""

    def _take(self, kind: str, name: str, tags: Mapping[str, str], value: Any) -> None:
        key = _key(kind, name, tags)
        if self._kinds.setdefault(key[1], kind) != kind:
            raise Unfit(f"{key[1]!r} is a {self._kinds[key[1]]} already, so it cannot be a {kind}")
        if key not in self._seen and len(self._seen) >= _MOST_SERIES:
            raise Unfit(f"the API has {_MOST_SERIES} series of metrics already; new ones are not taken")
        self._seen.add(key)
        if kind == "histogram":
            values = [_finite(number) for number in value]
            if values:
                self._histograms.setdefault(key, sketch.Sketch()).extend(values)
        elif kind == "counter":
            self._counters[key] = self._counters.get(key, 0.0) + _finite(value)
        else:
            self._gauges[key] = _finite(value)

    def take(self) -> "list[pb.CustomMetric]":
        """What is new since the last time."""
        from cortex.monitor.v1 import monitor_service_pb2 as pb

        found = [pb.CustomMetric(name=key[1], tags=dict(key[2]), gauge=value) for key, value in self._gauges.items()]
        for key, value in self._counters.items():
            found.append(pb.CustomMetric(name=key[1], tags=dict(key[2]), increase=value))
        for key, values in self._histograms.items():
            found.append(pb.CustomMetric(name=key[1], tags=dict(key[2]), histogram=values.to_proto()))
        self._gauges, self._counters, self._histograms = {}, {}, {}
        return found


def _key(kind: str, name: str, tags: Mapping[str, str]) -> Key:
    fit = _name(name)
    if kind not in ("gauge", "counter", "histogram"):
        raise Unfit(f"there is no metric of kind {kind!r}")
    if fit.startswith("cortex_"):
        raise Unfit(f"the name {fit!r} is the platform's; choose one that does not begin with cortex_")
    if len(tags) > _MOST_TAGS:
        raise Unfit(f"{fit!r} has more than {_MOST_TAGS} tags")
    return kind, fit, tuple(sorted((_name(tag), str(value)[:_LONGEST_TAG]) for tag, value in tags.items()))


def _name(text: str) -> str:
    """As Prometheus allows it."""
    fit = _UNFIT.sub("_", text)[:_LONGEST_NAME].lstrip("_") or "unnamed"
    return f"n{fit}" if fit[0].isdigit() else fit


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise Unfit(f"{number} is no value of a metric")
    return number
