"""Metrics for Prometheus, made when they are asked for.

Counters come from totals that only grow while a revision is known; after a restart they begin at zero, which Prometheus
takes for a reset. A revision that has not reported for five minutes is left out. Replica ids are no labels: they would
make a new series with every deploy. The quantiles are true to one percent, unlike any made from buckets.
"""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import core
from prometheus_client.registry import Collector

from services.monitor import custom_families, history, model, registry, sketch, windows

SHOWN_SECONDS = 300.0
QUANTILE_SECONDS = 60.0
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
_LABELS = ("namespace", "api", "revision")
_RECENT = f"over the last {QUANTILE_SECONDS:.0f} s, within 1 %"
Shown = tuple[list[str], registry.Revision]


class MonitorCollector(Collector):
    """`now` is the clock; everything else is read from memory."""

    def __init__(self, memory: registry.Registry, health: history.Health, now: Callable[[], float]) -> None:
        self._memory = memory
        self._health = health
        self._now = now

    def collect(self) -> Iterator[core.Metric]:
        now = self._now()
        shown = list(self._shown(now))
        yield _requests(shown)
        yield _histogram(
            "cortex_request_duration_seconds", "Time from first byte in to last byte out.",
            [(labels, one.total.latency) for labels, one in shown],
        )  # fmt: skip
        yield _histogram(
            "cortex_request_queue_duration_seconds", "Time a request waited for a worker.",
            [(labels, one.total.queue_time) for labels, one in shown],
        )  # fmt: skip
        recent = [(labels, _recent(one.timeline, now)) for labels, one in shown]
        name = "cortex_request_duration_quantile_seconds"
        yield _quantiles(name, f"Quantiles of the request duration {_RECENT}.", [(la, t.latency) for la, t in recent])
        name = "cortex_prediction_value_quantile"
        yield _quantiles(name, f"Quantiles of predicted numbers {_RECENT}.", [(la, t.values) for la, t in recent])
        yield from _gauges(shown, now)
        yield _predictions(shown)
        yield from _counters(shown)
        yield from custom_families.families(shown)
        yield from self._own()

    def _shown(self, now: float) -> Iterator[Shown]:
        for api in self._memory.apis():
            _, namespace, _, name = api.split("/")
            for revision, one in self._memory.revisions(api).items():
                if now - one.arrived <= SHOWN_SECONDS:
                    yield [namespace, name, revision], one

    def _own(self) -> Iterator[core.Metric]:
        numbers = {
            "cortex_monitor_reports": ("Reports taken.", self._memory.reports),
            "cortex_monitor_save_failures": ("Failures to save metrics.", self._health.save_failures),
            "cortex_monitor_buckets_given_up": ("Buckets given up unsaved.", self._health.given_up),
        }
        for name, (text, number) in numbers.items():
            yield core.CounterMetricFamily(name, text, value=number)
        yield core.GaugeMetricFamily(
            "cortex_monitor_database_connected", "Whether the past was restored.", value=float(self._health.restored)
        )


def _requests(shown: Sequence[Shown]) -> core.Metric:
    family = core.CounterMetricFamily("cortex_requests", "Requests that ended.", labels=[*_LABELS, "code"])
    for labels, one in shown:
        for status, count in sorted(one.total.requests.items()):
            family.add_metric([*labels, str(status)], count)
    return family


def _predictions(shown: Sequence[Shown]) -> core.Metric:
    family = core.CounterMetricFamily("cortex_predictions", "Predictions by class.", labels=[*_LABELS, "class"])
    for labels, one in shown:
        for name, count in sorted(one.total.classes.items()):
            family.add_metric([*labels, name], count)
    return family


def _counters(shown: Sequence[Shown]) -> Iterator[core.Metric]:
    counters: dict[str, tuple[str, Callable[[model.Tally], int]]] = {
        "cortex_predictions_other_classes": (
            "Predictions beyond the first 1000 classes.",
            lambda t: t.other_classes,
        ),
        "cortex_predictions_unreadable": ("Replies no prediction could be read from.", lambda t: t.unreadable),
        "cortex_prediction_values": ("Predicted numbers.", lambda t: t.values.count),
        "cortex_observations_lost": ("Observations or reports known to be lost.", lambda t: t.lost),
    }
    for name, (text, count) in counters.items():
        family = core.CounterMetricFamily(name, text, labels=_LABELS)
        for labels, one in shown:
            family.add_metric(labels, count(one.total))
        yield family


def _gauges(shown: Sequence[Shown], now: float) -> Iterator[core.Metric]:
    gauges: dict[str, tuple[str, Callable[[registry.Replica], int]]] = {
        "cortex_requests_in_flight": ("Requests running or queued.", lambda replica: replica.in_flight),
        "cortex_requests_queued": ("Requests queued.", lambda replica: replica.queued),
        "cortex_replicas_reporting": ("Replicas that reported within 5 s.", lambda replica: 1),
    }
    for name, (text, number) in gauges.items():
        family = core.GaugeMetricFamily(name, text, labels=_LABELS)
        for labels, one in shown:
            family.add_metric(labels, sum(number(r) for r in one.replicas.values() if r.is_fresh(now)))
        yield family


def _histogram(name: str, text: str, sketches: Sequence[tuple[list[str], sketch.Sketch]]) -> core.Metric:
    family = core.HistogramMetricFamily(name, text, labels=_LABELS)
    for labels, kept in sketches:
        counts = zip(BOUNDS, kept.cumulative(BOUNDS), strict=True)
        buckets = [(repr(bound), float(count)) for bound, count in counts] + [("+Inf", float(kept.count))]
        family.add_metric(labels, buckets, kept.total)
    return family


def _quantiles(name: str, text: str, sketches: Sequence[tuple[list[str], sketch.Sketch]]) -> core.Metric:
    family = core.GaugeMetricFamily(name, text, labels=[*_LABELS, "quantile"])
    for labels, kept in sketches:
        for q in _QUANTILES if kept.count else ():
            family.add_metric([*labels, repr(q)], kept.quantile(q))
    return family


def _recent(timeline: windows.Timeline, now: float) -> model.Tally:
    [span] = windows.spans(now - QUANTILE_SECONDS, now)
    return model.add_up(list(timeline.within(span).values()))
