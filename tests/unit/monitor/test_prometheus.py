"""What Prometheus reads: parsed by its own client, monotonic, and gone when nobody reports."""

import pytest
from prometheus_client import CollectorRegistry, parser
from prometheus_client import exposition as client_exposition
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser

from cortex.monitor.v1 import monitor_service_pb2 as pb
from services.chassis import errors
from services.monitor import exposition, history, prometheus, registry
from tests.fakes.replica_reports import report, sketch_of

NOW = 1_000_000_000.0
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Scrape:
    """A monitor's memory with its collector, at a moment that tests move."""

    def __init__(self) -> None:
        self.now = NOW
        self.memory = registry.Registry(most_replicas=100)
        self.registry = CollectorRegistry()
        self.registry.register(prometheus.MonitorCollector(self.memory, history.Health(), lambda: self.now))

    def samples(self) -> Samples:
        text = client_exposition.generate_latest(self.registry).decode()
        families = parser.text_string_to_metric_families(text)
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


@pytest.fixture
def scrape() -> Scrape:
    return Scrape()


def key(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted({"namespace": "default", "api": "iris", "revision": "r1-aaaa", **labels}.items()))


def test_names_labels_and_values(scrape: Scrape) -> None:
    fields = {"statuses": {200: 3, 503: 1}, "latencies": [0.004, 0.03, 0.03, 7.0], "classes": {"cat": 2}}
    scrape.memory.take(report(1, end=NOW, in_flight=5, lost=6, **fields), NOW)
    found = scrape.samples()
    assert found[key("cortex_requests_total", code="200")] == 3
    assert found[key("cortex_requests_total", code="503")] == 1
    assert found[key("cortex_request_duration_seconds_bucket", le="0.005")] == 1
    assert found[key("cortex_request_duration_seconds_bucket", le="0.05")] == 3
    assert found[key("cortex_request_duration_seconds_bucket", le="+Inf")] == 4
    assert found[key("cortex_request_duration_seconds_count")] == 4
    assert found[key("cortex_request_duration_seconds_sum")] == pytest.approx(7.064)
    assert found[key("cortex_request_duration_quantile_seconds", quantile="0.5")] == pytest.approx(0.03, rel=0.01)
    assert found[key("cortex_requests_in_flight")] == 5
    assert found[key("cortex_predictions_total", **{"class": "cat"})] == 2
    assert found[key("cortex_observations_lost_total")] == 6
    assert not any("replica" in dict(labels) for _, labels in found), "replica ids are no labels"


def test_counters_never_fall_while_windows_are_forgotten(scrape: Scrape) -> None:
    before: Samples = {}
    for sequence in range(1, 60):
        scrape.now += 60
        scrape.memory.take(report(sequence, end=scrape.now, statuses={200: 1}, latencies=[0.01 * sequence]), scrape.now)
        scrape.memory.forget(scrape.now)
        found = scrape.samples()
        for name, value in found.items():
            if name[0].endswith(("_total", "_bucket", "_count", "_sum")):
                assert value >= before.get(name, 0), name
        before = found
    assert before[key("cortex_requests_total", code="200")] == 59


def test_gauges_forget_first_series_later(scrape: Scrape) -> None:
    scrape.memory.take(report(1, end=NOW, statuses={200: 1}, latencies=[0.1], in_flight=5), NOW)
    scrape.now = NOW + 10
    assert scrape.samples()[key("cortex_requests_in_flight")] == 0
    scrape.now = NOW + prometheus.SHOWN_SECONDS + 1
    assert not any(dict(labels).get("api") for _, labels in scrape.samples())


def test_openmetrics_when_asked_for(scrape: Scrape) -> None:
    hostile = 'a"b\\c\nd'
    scrape.memory.take(report(1, end=NOW, statuses={200: 1}, latencies=[0.1], classes={hostile: 1}), NOW)
    # These two have no types upstream.
    text = openmetrics.generate_latest(scrape.registry).decode()  # type: ignore[no-untyped-call]
    families = {family.name: family for family in openmetrics_parser.text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    assert families["cortex_requests"].type == "counter"
    assert families["cortex_request_duration_seconds"].type == "histogram"
    [sample] = families["cortex_predictions"].samples
    assert sample.labels["class"] == hostile


@pytest.mark.parametrize(
    ("head", "status", "body"),
    [
        (b"GET /metrics HTTP/1.1\r\nAccept: x\r\n\r\n", b"200", b"body"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"200", b"body"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"200", b""),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"200", b"ok\n"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404", b"there is /metrics and /healthz\n"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405", b"only GET and HEAD\n"),
        (b"\xff\xfe\r\n\r\n", b"400", b"not an HTTP/1 request\n"),
    ],
)
def test_responses(head: bytes, status: bytes, body: bytes) -> None:
    answer = exposition.respond(head, lambda accept: ("text/x", b"body"))
    assert answer.split(b" ")[1] == status
    assert answer.partition(b"\r\n\r\n")[2] == body


def test_a_failure_to_render_is_an_error_of_ours() -> None:
    def fail(accept: str) -> tuple[str, bytes]:
        raise RuntimeError("bug")

    assert exposition.respond(b"GET /metrics HTTP/1.1\r\n\r\n", fail).startswith(b"HTTP/1.1 500 ")


def test_metrics_of_the_users_own(scrape: Scrape) -> None:
    counter = pb.CustomMetric(name="seen", tags={"kind": "b", "api": "mine"}, increase=2)
    told = [
        pb.CustomMetric(name="size", gauge=5), counter, pb.CustomMetric(name="seen", increase=1),
        pb.CustomMetric(name="length", histogram=sketch_of([0.2, 30.0])), pb.CustomMetric(name="size", increase=1),
    ]  # fmt: skip
    scrape.memory.take(report(1, end=NOW, custom=told), NOW)
    scrape.memory.take(report(2, end=NOW + 1, custom=[counter, pb.CustomMetric(name="size", gauge=4)]), NOW)
    found = scrape.samples()
    assert found[key("size")] == 4
    assert found[key("seen_total", kind="", tag_api="")] == 1
    assert found[key("seen_total", kind="b", tag_api="mine")] == 4
    assert found[key("length_bucket", le="0.25")] == 1
    assert found[key("length_count")] == 2 and found[key("length_sum")] == pytest.approx(30.2)
    scrape.memory.take(
        report(3, end=NOW + 2, custom=[pb.CustomMetric(name=f"s{n}", gauge=1) for n in range(1000)]), NOW
    )
    scrape.memory.take(report(4, end=NOW + 3, custom=[pb.CustomMetric(name="beyond", gauge=1)]), NOW)
    assert key("s1") in scrape.samples() and key("beyond") not in scrape.samples()


@pytest.mark.parametrize(
    "wrong",
    [
        pb.CustomMetric(name="cortex_requests", gauge=1),
        pb.CustomMetric(name="a b", gauge=1),
        pb.CustomMetric(name="a", tags={"b c": ""}, gauge=1),
        pb.CustomMetric(name="a", tags={"b": "c" * 257}, gauge=1),
        pb.CustomMetric(name="a", gauge=float("nan")),
        pb.CustomMetric(name="a", increase=-1),
        pb.CustomMetric(name="a", histogram=pb.Sketch(count=5)),
    ],
)
def test_metrics_that_are_none_are_refused(wrong: pb.CustomMetric) -> None:
    with pytest.raises(errors.InvalidArgument, match="custom_metrics"):
        report(1, end=NOW, custom=[wrong])
