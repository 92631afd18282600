import io
import json
import logging
import sys

import pytest

from services.chassis import telemetry


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "x"}, False),
    ],
)
def test_only_the_standard_variables_turn_tracing_on(environ: dict[str, str], wanted: bool) -> None:
    assert telemetry.tracing_requested(environ) is wanted


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("http://127.0.0.1:4317", "grpc", True)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1"}, ("http://x:1", "grpc", True)),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://y:2"},
            ("http://y:2", "grpc", True),
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://x:1"}, ("https://x:1", "grpc", False)),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            ("http://127.0.0.1:4318/v1/traces", "http/protobuf", False),
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:1/y", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            ("http://x:1/y", "http/protobuf", False),
        ),
    ],
)
def test_all_read_the_same_of_the_collector(environ: dict[str, str], found: tuple[str, str, bool] | None) -> None:
    target = telemetry.collector(environ)
    assert (target and (target.endpoint, target.protocol, target.for_gateway)) == found


def test_off_yields_no_span_and_no_headers() -> None:
    off = telemetry.set_up_tracing("x", "1", {})
    with off.server_span("a", {}, {}) as span, off.client_span("b", {}) as carrier:
        assert span is None and carrier == {}
    assert not off.enabled


def test_a_line_is_one_json_object_with_its_ids() -> None:
    out = io.StringIO()
    telemetry.set_up_logs("monitor", "info", out)
    telemetry.set_request_id("r-1")
    logging.getLogger("library").warning("careful")
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["service"], line["request_id"]) == (
        "careful",
        "warning",
        "monitor",
        "r-1",
    )
    telemetry.set_request_id("")
    telemetry.set_up_logs("test", "info", sys.stderr)
