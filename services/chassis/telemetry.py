"""Logs and traces of a process, set up once and handed on as one value.

Traces follow the standard OTEL_* variables. When none asks for an exporter, no SDK is imported and every call here is a
cheap no-op. Logs are JSON, one object a line, on stderr or in a file; each line carries the ids of the current trace.
"""

import contextlib
import contextvars
import dataclasses
import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import structlog

_request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


class Telemetry:
    """Tracing of one process. `tracer` is None when tracing is off."""

    def __init__(self, tracer: Any, provider: Any) -> None:
        self.tracer = tracer
        self._provider = provider

    @property
    def enabled(self) -> bool:
        return self.tracer is not None

    @property
    def resource(self) -> Mapping[str, Any]:
        """What the spans of this process say of it."""
        return dict(self._provider.resource.attributes) if self._provider is not None else {}

    @contextlib.contextmanager
    def server_span(self, name: str, carrier: Mapping[str, str], attributes: Mapping[str, Any]) -> Iterator[Any]:
        """A span of kind SERVER, child of the W3C context in `carrier` (lower-case header names)."""
        if self.tracer is None:
            yield None
            return
        from opentelemetry import trace
        from opentelemetry.propagate import extract

        with self.tracer.start_as_current_span(
            name, context=extract(carrier), kind=trace.SpanKind.SERVER, attributes=dict(attributes)
        ) as span:
            yield span

    @contextlib.contextmanager
    def client_span(self, name: str, attributes: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        """A span of kind CLIENT; yields the headers that carry it to the callee."""
        carrier: dict[str, str] = {}
        if self.tracer is None:
            yield carrier
            return
        from opentelemetry import trace
        from opentelemetry.propagate import inject

        with self.tracer.start_as_current_span(name, kind=trace.SpanKind.CLIENT, attributes=dict(attributes)):
            inject(carrier)
            yield carrier

    def shutdown(self) -> None:
        if self._provider is not None:
            self._provider.shutdown()


def tracing_requested(environ: Mapping[str, str]) -> bool:
    """Whether the OTEL_* variables ask for traces to be exported."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
    return any(environ.get(name) for name in names)


@dataclasses.dataclass(frozen=True, slots=True)
class Collector:
    """Where traces go. `endpoint` is a URL, `protocol` is grpc or http/protobuf."""

    endpoint: str
    protocol: str

    @property
    def for_gateway(self) -> bool:
        """Whether Envoy, which we have speak OTLP over gRPC without TLS, can send its spans there as well."""
        return self.protocol == "grpc" and not self.endpoint.startswith("https://")


def collector(environ: Mapping[str, str]) -> Collector | None:
    """The one reading of the OTEL_* variables, for services and gateway; what is about traces goes before the rest."""
    if not tracing_requested(environ):
        return None
    given = {name: value for name, value in environ.items() if value}
    protocol = given.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or given.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    protocol = "http/protobuf" if protocol.startswith("http") else "grpc"
    default = "http://127.0.0.1:4317" if protocol == "grpc" else "http://127.0.0.1:4318"
    general = given.get("OTEL_EXPORTER_OTLP_ENDPOINT", default)
    if protocol != "grpc":
        # The general one is the root of all signals.
        general = f"{general.rstrip('/')}/v1/traces"
    return Collector(given.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", general), protocol)


def set_up_tracing(service: str, instance: str, environ: Mapping[str, str]) -> Telemetry:
    """Reads OTEL_* from the process's environment when `environ` asks for traces; costs nothing otherwise."""
    target = collector(environ)
    if target is None:
        return Telemetry(None, None)
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

    exporter: SpanExporter
    if target.protocol != "grpc":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

        exporter = HttpExporter(endpoint=target.endpoint)
    else:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        exporter = GrpcExporter(endpoint=target.endpoint)
    names = {"service.name": service, "service.namespace": "cortex", "service.instance.id": instance}
    resource = Resource.create(names)
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Telemetry(provider.get_tracer("cortex"), provider)


def set_up_logs(service: str, level: str, stream: Any = None) -> None:
    """JSON lines for structlog and for the standard library's loggers alike."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_ids(service),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        foreign_pre_chain=shared,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def set_request_id(value: str) -> None:
    _request_id.set(value)


def request_id() -> str:
    return _request_id.get()


def trace_id() -> str:
    """Hex id of the current trace, empty when there is none."""
    opentelemetry = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return ""
    context = opentelemetry.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def _add_ids(service: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        if current := request_id():
            event["request_id"] = current
        if current := trace_id():
            event["trace_id"] = current
        return event

    return add
