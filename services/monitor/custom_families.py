"""Metrics of the users' own as families of Prometheus, under the names that the users gave them."""

from collections.abc import Iterator, Sequence

from prometheus_client import core

from services.monitor import custom, registry, sketch

_LABELS = ("namespace", "api", "revision")
_RESERVED = frozenset([*_LABELS, "le", "quantile"])
_TEXT = "Told by a predictor's metrics_client."
# Nobody knows the unit, so the bounds span what there is: 1, 2.5 and 5 of each power of ten.
BOUNDS = tuple(factor * 10.0**power for power in range(-4, 7) for factor in (1, 2.5, 5))
Shown = tuple[list[str], registry.Revision]
Entry = tuple[list[str], custom.Sample]


def families(shown: Sequence[Shown]) -> Iterator[core.Metric]:
    """A name that APIs use for different kinds is that of the first."""
    by_name: dict[str, list[Entry]] = {}
    for labels, revision in shown:
        for sample in revision.custom_metrics.all():
            entries = by_name.setdefault(sample.name, [])
            if not entries or entries[0][1].kind == sample.kind:
                entries.append((labels, sample))
    for name, entries in sorted(by_name.items()):
        yield _family(name, entries)


def _family(name: str, entries: Sequence[Entry]) -> core.Metric:
    tags = sorted({tag for _, sample in entries for tag, _ in sample.tags})
    names = [*_LABELS, *(f"tag_{tag}" if tag in _RESERVED else tag for tag in tags)]
    kind = entries[0][1].kind
    rows = [([*labels, *(dict(sample.tags).get(tag, "") for tag in tags)], sample.value) for labels, sample in entries]
    if kind == "histogram":
        return _histogram(name, names, rows)
    make = core.GaugeMetricFamily if kind == "gauge" else core.CounterMetricFamily
    family = make(name, _TEXT, labels=names)
    for labels, value in rows:
        assert isinstance(value, float)
        family.add_metric(labels, value)
    return family


def _histogram(name: str, names: Sequence[str], rows: Sequence[tuple[list[str], float | sketch.Sketch]]) -> core.Metric:
    family = core.HistogramMetricFamily(name, _TEXT, labels=names)
    for labels, kept in rows:
        assert isinstance(kept, sketch.Sketch)
        counts = zip(BOUNDS, kept.cumulative(BOUNDS), strict=True)
        buckets = [(repr(bound), float(count)) for bound, count in counts] + [("+Inf", float(kept.count))]
        family.add_metric(labels, buckets, kept.total)
    return family
