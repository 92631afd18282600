"""What a report must be; the rest is refused with the name of the field."""

import math
from collections.abc import Callable

import pytest
from google.protobuf import duration_pb2

from cortex.monitor.v1 import monitor_service_pb2 as pb
from services.chassis import errors
from services.monitor import convert, model
from tests.fakes import replica_reports

NOW = 1_000_000_000.0
Change = Callable[[pb.ReportMetricsRequest], object]


def good() -> pb.ReportMetricsRequest:
    return replica_reports.message(
        end=NOW, statuses={200: 2}, latencies=[0.1, 0.0], classes={"cat": 2}, values=[1.0, -1.0]
    )


def many_bins(message: pb.ReportMetricsRequest) -> None:
    for index in range(5000):
        message.latency.bins[index] = 1
    message.latency.count = 5000


CHANGES: dict[str, tuple[str, Change]] = {
    "no sequence": ("sequence", lambda m: setattr(m, "sequence", 0)),
    "bad replica": ("replica", lambda m: setattr(m, "replica", "../x")),
    "bad revision": ("revision", lambda m: setattr(m, "revision", "")),
    "no end": ("end_time", lambda m: m.ClearField("end_time")),
    "no start": ("end_time", lambda m: m.ClearField("start_time")),
    "negative count": ("requests_by_status", lambda m: m.requests_by_status.update({200: -1})),
    "strange status": ("requests_by_status", lambda m: m.requests_by_status.update({1000: 1})),
    "count beyond reason": ("requests_by_status", lambda m: m.requests_by_status.update({200: 2**62})),
    "negative in flight": ("requests_by_status", lambda m: setattr(m, "in_flight", -1)),
    "sum does not fit": ("latency", lambda m: setattr(m.latency, "count", 99)),
    "not a number": ("latency", lambda m: setattr(m.latency, "min", math.nan)),
    "endless": ("latency", lambda m: setattr(m.latency, "max", math.inf)),
    "other accuracy": ("latency", lambda m: setattr(m.latency, "relative_accuracy", 0.05)),
    "bin too far": ("latency", lambda m: m.latency.bins.update({2**30: 0})),
    "too many bins": ("latency", many_bins),
    "min over max": ("latency", lambda m: setattr(m.latency, "min", 5.0)),
    "too many classes": (
        "predictions.class_counts", lambda m: m.predictions.class_counts.update({str(n): 1 for n in range(1001)}),
    ),
    "long class": ("predictions.class_counts", lambda m: m.predictions.class_counts.update({"x" * 257: 1})),
    "negative unreadable": ("predictions", lambda m: setattr(m.predictions, "unreadable", -1)),
    "values": ("predictions.values", lambda m: setattr(m.predictions.values, "zero_count", -3)),
}  # fmt: skip


def test_a_good_report_is_taken_whole() -> None:
    taken = convert.report(good())
    assert (taken.api, taken.sequence, taken.end, taken.start) == (replica_reports.API, 1, NOW, NOW - 1)
    assert taken.tally.requests == {200: 2} and taken.tally.classes == {"cat": 2}
    assert (taken.tally.latency.count, taken.tally.values.count, taken.tally.values.low) == (2, 2, -1.0)


@pytest.mark.parametrize("case", CHANGES)
def test_a_malformed_report_is_refused_by_field(case: str) -> None:
    field, change = CHANGES[case]
    message = good()
    change(message)
    with pytest.raises(errors.InvalidArgument) as told:
        convert.report(message)
    assert field in [violation.field for violation in told.value.violations]


def test_predictions_near_the_largest_float_are_counted() -> None:
    message = replica_reports.message(end=NOW, values=[1.7e308, 1.7e308, -1.7e308, 5e-324])
    message.predictions.values.sum = math.inf
    values = convert.report(message).tally.values
    assert values.quantile(1.0) == pytest.approx(1.7e308, rel=0.01) and values.zero == 1
    assert math.isfinite(values.total)


def test_a_clock_that_was_set_back_is_no_mistake() -> None:
    message = good()
    message.end_time.seconds -= 3600
    assert convert.report(message).end == NOW - 3600


@pytest.mark.parametrize("api", ["", "iris", "namespaces/a/apis/", "namespaces/a/apis/../b", "namespaces/A/apis/b"])
def test_a_wrong_name_is_refused(api: str) -> None:
    message = good()
    message.api = api
    with pytest.raises(errors.InvalidArgument) as told:
        convert.report(message)
    assert told.value.reason == "INVALID_NAME"


@pytest.mark.parametrize("seconds", [0, -1, 14 * 86400 + 1])
def test_windows_have_limits(seconds: int) -> None:
    with pytest.raises(errors.InvalidArgument):
        convert.window(pb.GetApiMetricsRequest(window=duration_pb2.Duration(seconds=seconds)))
    assert convert.window(pb.GetApiMetricsRequest()) == 900
    assert convert.window(pb.GetApiMetricsRequest(window=duration_pb2.Duration(seconds=60))) == 60


def test_a_summary_tells_statuses_rates_and_quantiles() -> None:
    tally = convert.tally(replica_reports.message(end=NOW, statuses={200: 6, 201: 2, 404: 1, 499: 1, 503: 2}))
    for value in (0.1, 0.2, 0.3, 0.4):
        tally.latency.insert(value)
    one = model.Summary(tally, seconds=4.0, in_flight=3, report_time=NOW)
    made = convert.api_metrics(model.ApiSummary(replica_reports.API, NOW - 4, NOW, one, {"r1-aaaa": one}, {}))
    total = made.total
    assert (total.requests_2xx, total.requests_4xx, total.requests_5xx) == (8, 2, 2)
    assert total.requests_per_second == 3.0 and total.in_flight == 3
    assert total.latency.count == 4 and total.latency.mean == pytest.approx(0.25)
    assert total.latency.p50 == pytest.approx(0.2, rel=0.01) and total.latency.max == 0.4
    assert not total.HasField("predictions") and not total.HasField("prediction_values")
    assert made.revisions["r1-aaaa"].requests_2xx == 8
