"""The caller's end of a trace: every call carries a W3C `traceparent`, so that its lines and spans can be found.

A program that traces itself goes on with its own span: where OpenTelemetry is in use, its current context is taken.
Nothing of it is imported here. Else each call of the SDK begins a trace of its own, sampled only where OTEL_* asks for
exports: a flag set without that would make every gateway export what nobody looks at.
"""

import contextlib
import contextvars
import dataclasses
import os
import secrets
import sys
import uuid
from collections.abc import Iterator, Mapping

_SAMPLED = 1
_ASKING = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")

Headers = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """A trace to take part in, as `traceparent` says it."""

    trace_id: str
    parent: str
    flags: int = 0
    state: str = ""

    def headers(self) -> Headers:
        found = (("traceparent", f"00-{self.trace_id}-{self.parent}-{self.flags:02x}"),)
        return (*found, ("tracestate", self.state)) if self.state else found


@dataclasses.dataclass(frozen=True, slots=True)
class Label:
    """What one request is known by: on the wire, in logs and in errors."""

    request_id: str
    trace: Trace

    @property
    def headers(self) -> Headers:
        return (("x-request-id", self.request_id), *self.trace.headers())


_current: contextvars.ContextVar[Trace | None] = contextvars.ContextVar("cortex_trace", default=None)


@contextlib.contextmanager
def together() -> Iterator[Trace]:
    """The requests made inside belong to one trace, unless the program's own span says which."""
    trace = current()
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def label() -> Label:
    """For one request."""
    return Label(uuid.uuid4().hex, current())


def current() -> Trace:
    return _of_the_program() or _current.get() or new(os.environ)


def new(environ: Mapping[str, str]) -> Trace:
    return Trace(secrets.token_hex(16), secrets.token_hex(8), _SAMPLED if exports(environ) else 0)


def exports(environ: Mapping[str, str]) -> bool:
    """Whether OTEL_* asks for traces to be exported."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(environ.get(name) for name in _ASKING)


def _of_the_program() -> Trace | None:
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    context = api.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    flags = int(context.trace_flags) & 0xFF
    return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", flags, context.trace_state.to_header())
