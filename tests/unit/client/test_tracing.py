"""Whose trace a request belongs to."""

import re
import subprocess
import sys

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider

from cortex_client import tracing


@pytest.mark.parametrize(
    ("environ", "flags"),
    [
        ({}, "00"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317"}, "01"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "01"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, "00"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, "00"),
    ],
)
def test_a_trace_is_sampled_only_where_somebody_looks(environ: dict[str, str], flags: str) -> None:
    ((name, value),) = tracing.new(environ).headers()
    assert name == "traceparent"
    assert re.fullmatch(rf"00-[0-9a-f]{{32}}-[0-9a-f]{{16}}-{flags}", value)


def test_every_request_has_its_own_trace_unless_made_together() -> None:
    assert tracing.label().trace.trace_id != tracing.label().trace.trace_id
    with tracing.together() as outer, tracing.together() as inner:
        assert inner == outer == tracing.label().trace
        assert tracing.label().request_id != tracing.label().request_id
    assert tracing.label().trace.trace_id != outer.trace_id


def test_the_programs_own_span_goes_on() -> None:
    span = TracerProvider().get_tracer("program").start_span("work")
    with otel.use_span(span), tracing.together() as trace:
        context = span.get_span_context()
        assert (trace.trace_id, trace.parent) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
        assert trace.flags & 1
    assert tracing.current().trace_id != trace.trace_id


def test_the_state_of_the_programs_trace_comes_along() -> None:
    context = otel.SpanContext(0xAB, 0xCD, True, otel.TraceFlags(0), otel.TraceState([("vendor", "x")]))
    with otel.use_span(otel.NonRecordingSpan(context)):
        assert tracing.label().headers[1:] == (
            ("traceparent", f"00-{0xAB:032x}-{0xCD:016x}-00"),
            ("tracestate", "vendor=x"),
        )


def test_opentelemetry_is_not_imported_for_it() -> None:
    code = "import sys; from cortex_client import tracing; tracing.label(); print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"
