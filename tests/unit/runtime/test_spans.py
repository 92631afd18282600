"""Spans put together by hand say what the SDK's would, and who is sampled is decided as the SDK decides."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import sampling as sdk

from runtime import sampling, span_export

TRACE, OWN, PARENT = bytes(range(1, 17)), b"\x02" * 8, b"\x03" * 8
LONG = "x" * 300


@pytest.mark.parametrize("parent", [PARENT, b""])
@pytest.mark.parametrize("name", [b"r-1", b"%s" * 20, b"z" * 200])
def test_a_span_reads_as_it_was_meant(parent: bytes, name: bytes) -> None:
    constant = span_export.described("GET /%b", span_export.SERVER, (("cortex.api", LONG), ("url.path", "/100%")))
    constant += span_export.number("http.response.status_code", 503) + span_export.failed(True)
    above = span_export.parent(parent) if parent else b""
    queued = span_export.before_double("cortex.queue_time_ms")
    before = span_export.before_text("cortex.request_id", len(name))
    shape = span_export.shape(len(above), constant, before, len(name), queued, 8, len(span_export.state("a=b")))
    filled = (TRACE, OWN, above, span_export.times(10**18, 10**18 + 5), name, span_export.DOUBLE.pack(1.5))
    spans: Any = trace_pb2.ScopeSpans.FromString(shape % (*filled, span_export.state("a=b")))
    [found] = spans.spans
    assert (found.trace_id, found.span_id, found.parent_span_id) == (TRACE, OWN, parent)
    assert (found.name, found.kind, found.trace_state) == ("GET /%b", trace_pb2.Span.SPAN_KIND_SERVER, "a=b")
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (10**18, 10**18 + 5)
    assert found.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    values = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in found.attributes}
    assert values == {
        "cortex.api": LONG, "url.path": "/100%", "http.response.status_code": 503, "cortex.request_id": name.decode(),
        "cortex.queue_time_ms": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize("ratio", ["0", "0.01", "0.5", "1"])
def test_ratios_decide_by_the_trace_id_as_the_sdk_does(ratio: str) -> None:
    ours = sampling.of({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio})
    theirs = sdk.TraceIdRatioBased(float(ratio))
    assert ours is not None
    for seed in range(300):
        trace = (seed * 0x9E3779B97F4A7C15F39CC0605CEDC835 + 1) % 2**128
        decided = ours.decide(b"00-%032x-%016x-00" % (trace, 1)) is not None
        theirs_decided: Any = theirs.should_sample(None, trace, "x").decision
        assert decided == theirs_decided.is_sampled()


@pytest.mark.parametrize(
    ("environ", "flags", "sampled"),
    [
        ({}, b"01", True),
        ({}, b"00", False),
        ({}, b"", True),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, b"", False),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, b"01", True),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, b"01", False),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, b"00", True),
    ],
)
def test_a_sampled_parent_is_followed_where_it_is_asked(environ: dict[str, str], flags: bytes, sampled: bool) -> None:
    sampler = sampling.of(environ)
    assert sampler is not None
    told = b"00-%b-%b-%b" % (TRACE.hex().encode(), PARENT.hex().encode(), flags) if flags else b""
    decided = sampler.decide(told)
    assert (decided is not None) == sampled
    assert not (sampled and told) or decided == TRACE


def test_an_unknown_sampler_is_left_to_the_sdk() -> None:
    assert sampling.of({"OTEL_TRACES_SAMPLER": "jaeger_remote"}) is None


def test_what_waits_is_sent_at_the_end() -> None:
    sent: list[bytes] = []
    outgoing = span_export.Outgoing(sent.extend, 3600)
    outgoing.add(b"a")
    outgoing.add(b"b")
    outgoing.close(10)
    assert sent == [b"a", b"b"]


def test_a_batch_that_cannot_be_sent_is_not_the_last() -> None:
    sent: list[bytes] = []
    failed = threading.Event()

    def send(batch: Sequence[bytes]) -> None:
        if not failed.is_set():
            failed.set()
            raise ValueError("no channel")
        sent.extend(batch)

    outgoing = span_export.Outgoing(send, 0)
    outgoing.add(b"a")
    assert failed.wait(10)
    outgoing.add(b"b")
    outgoing.close(10)
    assert sent == [b"b"]


def test_a_batch_is_no_larger_than_a_collector_takes() -> None:
    spans = [bytes([n % 256]) * size for n, size in enumerate([1000] * 3000 + [900_000] * 5 + [5_000_000] + [10] * 10)]
    batches = list(span_export.batches(spans))
    assert [span for batch in batches for span in batch] == spans
    assert all(len(batch) == 1 or sum(map(len, batch)) <= 4 * 1024 * 1024 for batch in batches)
    assert len(batches) < 16
