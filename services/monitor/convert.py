"""Protobuf in, model out, and back. What comes in is checked here, field by field, before it is counted."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from google.protobuf import duration_pb2, timestamp_pb2

from cortex.monitor.v1 import monitor_service_pb2 as pb
from services.chassis import errors, names
from services.monitor import custom, model, sketch

DEFAULT_WINDOW = 15 * model.MINUTE
MOST_STATUSES = 1000
LONGEST_CLASS = 256
_LONGEST_ID = 253
_MOST_TAGS = 16
_LABEL = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,200}")
_MOST_COUNT = 10**12
_LARGEST_SUM = 1e300
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


def report(message: pb.ReportMetricsRequest) -> model.Report:
    """Raises errors.InvalidArgument naming every field that is wrong."""
    api_name(message.api)
    problems = dict(_problems(message))
    if problems:
        raise errors.InvalidArgument(
            "report refused: " + "; ".join(f"{field} {problem}" for field, problem in problems.items()),
            violations=[errors.Violation(*problem) for problem in problems.items()],
        )
    return model.Report(
        api=message.api, revision=message.revision, replica=message.replica, sequence=message.sequence,
        start=message.start_time.ToNanoseconds() / 1e9, end=message.end_time.ToNanoseconds() / 1e9,
        tally=tally(message), in_flight=message.in_flight, queued=message.queued,
        lost_total=message.lost_observations, custom_metrics=[_custom(one) for one in message.custom_metrics],
    )  # fmt: skip


def tally(message: pb.ReportMetricsRequest) -> model.Tally:
    predictions = message.predictions
    return model.Tally(
        requests=dict(message.requests_by_status), latency=to_sketch(message.latency),
        queue_time=to_sketch(message.queue_time), classes=dict(predictions.class_counts),
        values=to_sketch(predictions.values), other_classes=predictions.other_classes,
        unreadable=predictions.unreadable,
    )  # fmt: skip


def _custom(message: pb.CustomMetric) -> custom.Sample:
    kind = message.WhichOneof("value")
    tags = tuple(sorted(message.tags.items()))
    if kind == "histogram":
        return custom.Sample("histogram", message.name, tags, to_sketch(message.histogram))
    if kind == "increase":
        return custom.Sample("counter", message.name, tags, message.increase)
    return custom.Sample("gauge", message.name, tags, message.gauge)


def to_sketch(message: pb.Sketch) -> sketch.Sketch:
    made = sketch.Sketch()
    made.bins, made.negative = dict(message.bins), dict(message.negative_bins)
    made.zero, made.count, made.total = message.zero_count, message.count, message.sum
    made.low, made.high = message.min, message.max
    if not math.isfinite(made.total):
        # Predictions near the largest float overflow where they are added; only their mean suffers.
        made.total = 0.0 if math.isnan(made.total) else math.copysign(_LARGEST_SUM, made.total)
    return made


def from_sketch(kept: sketch.Sketch) -> pb.Sketch:
    return pb.Sketch(
        relative_accuracy=sketch.RELATIVE_ACCURACY, bins=kept.bins, negative_bins=kept.negative,
        zero_count=kept.zero, count=kept.count, sum=kept.total, min=kept.low, max=kept.high,
    )  # fmt: skip


def api_name(name: str) -> str:
    parts = names.parse("namespaces/{namespace}/apis/{api}", name)
    if not all(names.is_label(part) for part in parts.values()):
        raise errors.InvalidArgument(f"{name[:200]!r} is not the name of an API", reason="INVALID_NAME")
    return name


def namespace(parent: str) -> str:
    found = names.parse("namespaces/{namespace}", parent)["namespace"]
    if found != "-" and not names.is_label(found):
        raise errors.InvalidArgument(f"{parent[:200]!r} is not a namespace", reason="INVALID_NAME")
    return found


def window(message: pb.GetApiMetricsRequest | pb.ListApiMetricsRequest) -> float:
    if not message.HasField("window"):
        return DEFAULT_WINDOW
    given: duration_pb2.Duration = message.window
    seconds = given.ToNanoseconds() / 1e9
    if not 1.0 <= seconds <= model.LONGEST_WINDOW:
        problem = errors.Violation("window", f"must be between 1 s and {model.LONGEST_WINDOW} s")
        raise errors.InvalidArgument(f"window {problem.description}", violations=[problem])
    return seconds


def since(message: pb.GetApiMetricsRequest) -> float:
    return message.since.ToNanoseconds() / 1e9 if message.HasField("since") else 0.0


def api_metrics(summary: model.ApiSummary) -> pb.ApiMetrics:
    return pb.ApiMetrics(
        api=summary.api, start_time=_time(summary.start), end_time=_time(summary.end), total=_summary(summary.total),
        revisions={name: _summary(one) for name, one in summary.revisions.items()},
        replicas={name: _summary(one) for name, one in summary.replicas.items()},
    )  # fmt: skip


def predictions(counted: model.Tally) -> pb.PredictionSummary:
    return pb.PredictionSummary(
        class_counts=counted.classes, other_classes=counted.other_classes, unreadable=counted.unreadable,
        values=from_sketch(counted.values) if counted.values.count else None,
    )  # fmt: skip


def _summary(one: model.Summary) -> pb.MetricsSummary:
    counted = one.tally
    return pb.MetricsSummary(
        requests_by_status=counted.requests, requests_2xx=counted.requests_within(200, 300),
        requests_4xx=counted.requests_within(400, 500), requests_5xx=counted.requests_within(500, 600),
        requests_per_second=sum(counted.requests.values()) / one.seconds,
        latency=_quantiles(counted.latency), queue_time=_quantiles(counted.queue_time), in_flight=one.in_flight,
        predictions=predictions(counted) if counted.tracks else None,
        prediction_values=_quantiles(counted.values) if counted.values.count else None,
        lost_observations=counted.lost,
        report_time=None if one.report_time is None else _time(one.report_time),
    )  # fmt: skip


def _quantiles(kept: sketch.Sketch) -> pb.Quantiles:
    if kept.count == 0:
        return pb.Quantiles()
    return pb.Quantiles(
        count=kept.count, min=kept.low, max=kept.high, mean=kept.total / kept.count,
        **{name: kept.quantile(q) for name, q in _QUANTILES.items()},
    )  # fmt: skip


def _time(at: float) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromNanoseconds(int(at * 1e9))
    return made


def _problems(message: pb.ReportMetricsRequest) -> Iterator[tuple[str, str]]:
    for field in ("revision", "replica"):
        if not names.is_label(getattr(message, field), longest=_LONGEST_ID):
            yield field, "must be lower case letters, digits and '-'"
    if message.sequence < 1:
        yield "sequence", "must count from 1"
    # An end before the start is no mistake of the replica: its clock was set back meanwhile.
    if message.start_time.seconds <= 0 or message.end_time.seconds <= 0:
        yield "end_time", "and start_time must be set"
    statuses = message.requests_by_status
    if len(statuses) > MOST_STATUSES or not all(0 <= status < 1000 for status in statuses):
        yield "requests_by_status", f"must be at most {MOST_STATUSES} statuses between 0 and 999"
    counts = [message.in_flight, message.queued, message.lost_observations, *statuses.values()]
    if not _are_counts(counts):
        yield "requests_by_status", "and the other counts must not be negative"
    yield from _sketch_problems({"latency": message.latency, "queue_time": message.queue_time})
    yield from _prediction_problems(message.predictions)
    yield from _custom_problems(message.custom_metrics)


def _prediction_problems(message: pb.PredictionSummary) -> Iterator[tuple[str, str]]:
    classes = message.class_counts
    if len(classes) > model.MOST_CLASSES or any(len(name) > LONGEST_CLASS for name in classes):
        yield "predictions.class_counts", f"must be {model.MOST_CLASSES} names of {LONGEST_CLASS} characters at most"
    if not _are_counts([message.other_classes, message.unreadable, *classes.values()]):
        yield "predictions", "must not hold negative counts"
    yield from _sketch_problems({"predictions.values": message.values})


def _custom_problems(given: Sequence[pb.CustomMetric]) -> Iterator[tuple[str, str]]:
    if len(given) > custom.MOST_SERIES:
        yield "custom_metrics", f"must be at most {custom.MOST_SERIES}"
    for one in given[: custom.MOST_SERIES]:
        if not all(_LABEL.fullmatch(name) for name in (one.name, *one.tags)) or one.name.startswith("cortex_"):
            yield "custom_metrics", "must have names as Prometheus allows them, not beginning with cortex_"
        elif len(one.tags) > _MOST_TAGS or any(len(value) > LONGEST_CLASS for value in one.tags.values()):
            yield "custom_metrics", f"must have at most {_MOST_TAGS} tags of {LONGEST_CLASS} characters"
        elif not (math.isfinite(one.gauge) and 0 <= one.increase < math.inf):
            yield "custom_metrics", "must have finite values, and counters that do not fall"
        elif problem := _sketch_problem(one.histogram):
            yield "custom_metrics.histogram", problem


def _sketch_problems(given: Mapping[str, pb.Sketch]) -> Iterator[tuple[str, str]]:
    for field, message in given.items():
        problem = _sketch_problem(message)
        if problem:
            yield field, problem


def _sketch_problem(message: pb.Sketch) -> str:
    sides: Sequence[Mapping[int, int]] = (message.bins, message.negative_bins)
    counts = [message.zero_count, *(count for side in sides for count in side.values())]
    if any(len(side) > sketch.MOST_BINS for side in sides):
        return f"must not have more than {sketch.MOST_BINS} bins"
    if any(abs(index) > sketch.FARTHEST_BIN for side in sides for index in side):
        return "has a bin too far out"
    if not _are_counts(counts) or message.count != sum(counts):
        return "must have counts that are not negative and add up to `count`"
    if not (math.isfinite(message.min) and math.isfinite(message.max)):
        return "must have a finite min and max"
    if message.count and not math.isclose(message.relative_accuracy, sketch.RELATIVE_ACCURACY, rel_tol=1e-6):
        return f"must have relative_accuracy {sketch.RELATIVE_ACCURACY}, or it could not be added to others"
    return "" if message.min <= message.max else "must have min <= max"


def _are_counts(numbers: Sequence[int]) -> bool:
    return all(0 <= number <= _MOST_COUNT for number in numbers)
