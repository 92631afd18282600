"""What happened since the last report, counted on the event loop: a few dictionary updates per request.

protobuf is imported by who makes a report, as no start of a replica waits for that.
"""

import collections
import math
import time
from typing import TYPE_CHECKING

from runtime import custom_metrics, sketch

if TYPE_CHECKING:
    from cortex.monitor.v1 import monitor_service_pb2 as pb

MAX_CLASSES = 1000
_COUNTED = 256


class Predictions:
    """What was predicted, where the API asks for it."""

    def __init__(self) -> None:
        self.classes: dict[str, int] = {}
        self.values = sketch.Sketch()
        self.other_classes = 0
        self.unreadable = 0
        self.seen: set[str] = set()  # over the process's life, so that the bound is one of the API, not of a second

    def add(self, prediction: bytes) -> None:
        """`c<class>`, `n<number>` or `?`, as shim/encode.py writes them. The worker is the user's: trust nothing."""
        text = prediction.decode("utf-8", "replace")
        if text[0] == "c":
            self._add_class(text[1:])
            return
        try:
            value = float(text[1:]) if text[0] == "n" else math.nan
        except ValueError:
            value = math.nan
        if not self.values.add(value):
            self.unreadable += 1

    def _add_class(self, name: str) -> None:
        if name not in self.seen:
            if len(self.seen) >= MAX_CLASSES:
                self.other_classes += 1
                return
            self.seen.add(name)
        self.classes[name] = self.classes.get(name, 0) + 1

    def take(self) -> "pb.PredictionSummary":
        from cortex.monitor.v1 import monitor_service_pb2 as pb

        summary = pb.PredictionSummary(
            class_counts=self.classes,
            values=self.values.to_proto() if self.values else None,
            other_classes=self.other_classes,
            unreadable=self.unreadable,
        )
        self.classes, self.values = {}, sketch.Sketch()
        self.other_classes = self.unreadable = 0
        return summary


class Metrics:
    """Owned by the event loop. `take` returns what a report says and begins the next interval."""

    def __init__(self) -> None:
        self._fresh: list[tuple[int, float, float]] = []
        self.requests: dict[int, int] = {}
        self.latency = sketch.Sketch()
        self.queue_time = sketch.Sketch()
        self.predictions = Predictions()
        self.custom = custom_metrics.CustomMetrics()
        self._tracked = False
        self._since = time.time()

    def ended(self, status: int, latency: float, queued_for: float) -> None:
        """Only remembers; what came is counted some hundreds at a time, which takes a fraction of the time."""
        self._fresh.append((status, latency, queued_for))
        if len(self._fresh) >= _COUNTED:
            self._count()

    def _count(self) -> None:
        if not self._fresh:
            return
        statuses, latencies, queue_times = zip(*self._fresh, strict=True)
        self._fresh.clear()
        for status, count in collections.Counter(statuses).items():
            self.requests[status] = self.requests.get(status, 0) + count
        self.latency.extend(latencies)
        self.queue_time.extend(queue_times)

    def predicted(self, prediction: bytes) -> None:
        self._tracked = True
        self.predictions.add(prediction)

    def take(self, now: float, in_flight: int, queued: int) -> "pb.ReportMetricsRequest":
        from cortex.monitor.v1 import monitor_service_pb2 as pb

        self._count()
        report = pb.ReportMetricsRequest(
            requests_by_status=self.requests,
            latency=self.latency.to_proto(),
            queue_time=self.queue_time.to_proto(),
            in_flight=in_flight,
            queued=queued,
            predictions=self.predictions.take() if self._tracked else None,
            custom_metrics=self.custom.take(),
        )
        report.start_time.FromNanoseconds(int(self._since * 1e9))
        report.end_time.FromNanoseconds(int(now * 1e9))
        self._since = now
        self.requests, self.latency, self.queue_time = {}, sketch.Sketch(), sketch.Sketch()
        return report
