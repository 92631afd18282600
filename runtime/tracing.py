"""Trace context of requests, and spans when the OTEL_* variables ask for them. Off means no SDK is imported.

Spans are made on behalf of the workers, which report how long the user's code took: user environments need no SDK.
"""

import binascii
import contextlib
import functools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runtime import sampling, span_export
from runtime.calls import Call
from runtime.errors import InferError

if TYPE_CHECKING:
    from runtime.inference import InferRequest

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
TRACEPARENT_FIELD = 5  # of the request head
_SHARES = 2  # what a call's span knows of its run, once it shares a batch's
_LAST_SECONDS = 5.0
_KEPT = 256


def valid(traceparent: bytes) -> bytes:
    """`traceparent` when it is one, else nothing: it ends up in every log line."""
    return traceparent if _TRACEPARENT.fullmatch(traceparent) else b""


class _Shared:
    """A span that ends with the last of those who share it."""

    def __init__(self, end: Callable[[], object], sharers: int) -> None:
        self._end = end
        self._sharers = sharers

    def end(self) -> None:
        self._sharers -= 1
        if self._sharers == 0:
            self._end()


class Spans:
    """Server and predict spans around a call; built only when tracing is on."""

    reads_headers = True  # of every call, for its tracestate
    headers_read = True  # by the predictor

    def __init__(self, tracing: Any, api: str) -> None:
        from opentelemetry import trace
        from opentelemetry.propagate import extract

        self._tracing = tracing
        self._trace = trace
        self._extract = extract
        self._attributes = {"cortex.api": api}

    def begin(self, call: Call) -> None:
        """Starts the server span and gives the worker its context."""
        fields = call.fields
        carrier = {"traceparent": fields[TRACEPARENT_FIELD].decode("latin-1")}
        state = _header(fields, b"tracestate")
        if state:
            carrier["tracestate"] = state
        trace, tracer = self._trace, self._tracing.tracer
        attributes = {
            **self._attributes,
            "http.request.method": fields[0].decode("latin-1"),
            "url.path": fields[1].decode("latin-1"),
            "cortex.request_id": call.request_id,
        }
        method = attributes["http.request.method"]
        name = method[1:] if method.startswith("/") else f"{method} /"  # an RPC of a user's own service
        server = tracer.start_span(name, self._extract(carrier), kind=trace.SpanKind.SERVER, attributes=attributes)
        call.span = (server, None, None)

    def dispatched(self, call: Call) -> None:
        """Starts the predict span; the worker's log lines and the user's own spans hang below it."""
        server, _, batch = call.span
        if batch is not None:  # its worker died before it began, and another one gets it
            batch.end()
        tracer, fields = self._tracing.tracer, call.fields
        predict = tracer.start_span("predict", self._trace.set_span_in_context(server))
        predict.set_attribute("cortex.queue_time_ms", round(call.queued_for * 1e3, 3))
        context = predict.get_span_context()
        if context.is_valid:
            told = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
            fields[TRACEPARENT_FIELD] = told.encode()
            _replace_header(fields, b"traceparent", told.encode())
        call.span = (server, predict, None)

    def batched(self, calls: Sequence[Call]) -> None:
        """Starts a span for the batch: below the first call that is traced, with a link to each."""
        found = [(call, call.span[1].get_span_context()) for call in calls if call.span is not None]
        traced = [(call, context) for call, context in found if context.trace_flags.sampled]
        if not traced:
            return
        trace = self._trace
        batch = self._tracing.tracer.start_span(
            "batch",
            trace.set_span_in_context(traced[0][0].span[1]),
            links=[trace.Link(context) for _, context in traced],
            attributes={**self._attributes, "cortex.batch_size": len(calls)},
        )
        shared = _Shared(batch.end, len(traced))
        for call, _ in traced:
            call.span = (*call.span[:2], shared)

    def end(self, call: Call) -> None:
        server, predict, batch = call.span
        call.span = None
        if batch is not None:
            batch.end()
        server.set_attribute("http.response.status_code", call.status)
        for span in (predict, server):
            if span is None:
                continue
            if call.status >= 500:
                span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
            span.end()

    @contextlib.contextmanager
    def inference(self, request: "InferRequest", *, is_served: bool) -> Iterator[None]:
        """A span around an inference of a model; the engine's own spans hang below it. `is_served`: it is what the
        caller asked for, not a part of a prediction."""
        trace = self._trace
        kind = trace.SpanKind.SERVER if is_served else trace.SpanKind.CLIENT
        parent = self._extract({"traceparent": request.traceparent.decode("latin-1")})
        attributes = {**self._attributes, "cortex.model": request.model, "cortex.request_id": request.request_id}
        span = self._tracing.tracer.start_span("infer", parent, kind=kind, attributes=attributes)
        context = span.get_span_context()
        if context.is_valid:
            told = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
            request.traceparent = told.encode()
        try:
            yield
        except InferError as error:
            span.set_attribute("http.response.status_code", error.status)
            if error.status >= 500:
                span.set_status(trace.Status(trace.StatusCode.ERROR))
            raise
        finally:
            span.end()

    def shutdown(self) -> None:
        self._tracing.shutdown()


class Records(Spans):
    """The same spans around calls, decided on first and encoded without the SDK, whose objects cost more than calls."""

    reads_headers = False

    def __init__(self, tracing: Any, api: str, sampler: sampling.Sampler, collector: str, environ: Mapping[str, str]):
        super().__init__(tracing, api)
        self._api = api
        self._sampler = sampler
        self._shape = functools.lru_cache(maxsize=_KEPT)(self._make_shape)
        self._outgoing, self._end_export = span_export.open_exporter(collector, tracing.resource, environ)

    def begin(self, call: Call) -> None:
        told = call.fields[TRACEPARENT_FIELD]
        trace = self._sampler.decide(told)
        if trace is not None:
            parent = span_export.parent(bytes.fromhex(told[36:52].decode())) if told else b""
            state = span_export.state(_header(call.fields, b"tracestate")) if told else b""
            ids = sampling.draw(128).to_bytes(16, "big")
            call.span = (trace, parent, state, ids[:8], time.time_ns(), ids[8:])

    def dispatched(self, call: Call) -> None:
        trace, parent, state, server, began, predict, *ran = call.span
        if len(ran) == _SHARES:  # its worker died before it began, and another one gets it
            ran[-1].end()
        told = b"00-%b-%b-01" % (binascii.hexlify(trace), binascii.hexlify(predict))
        call.fields[TRACEPARENT_FIELD] = told
        if self.headers_read:
            _replace_header(call.fields, b"traceparent", told)
        call.span = (trace, parent, state, server, began, predict, time.time_ns())

    def batched(self, calls: Sequence[Call]) -> None:
        traced = [call.span for call in calls if call.span is not None]
        if traced:
            shared = _Shared(functools.partial(self._end_batch, traced, len(calls), time.time_ns()), len(traced))
            for call in calls:
                if call.span is not None:
                    call.span = (*call.span, shared)

    def _end_batch(self, members: Sequence[Any], size: int, began: int) -> None:
        first = members[0]
        varying = span_export.number("cortex.batch_size", size)
        varying += b"".join([span_export.link(member[0], member[5]) for member in members])
        constant = span_export.described("batch", span_export.INTERNAL, (("cortex.api", self._api),))
        ids = (first[0], sampling.draw(64).to_bytes(8, "big"), first[5])
        self._outgoing.add(span_export.span(ids, (began, time.time_ns()), constant + varying))

    def end(self, call: Call) -> None:
        ended = time.time_ns()
        trace, parent, state, server, began, predict, *ran = call.span
        call.span = None
        fields = call.fields
        name = fields[4]
        alone, both = self._shape(fields[0], fields[1], call.status, len(parent), len(name), len(state))
        if not ran:
            self._outgoing.add(alone % (trace, server, parent, span_export.times(began, ended), name, state))
            return
        if len(ran) == _SHARES:
            ran[-1].end()
        queued = span_export.DOUBLE.pack(round(call.queued_for * 1e3, 3))
        self._outgoing.add(
            both
            % (
                trace, server, parent, span_export.times(began, ended), name, state,
                trace, predict, span_export.parent(server), span_export.times(ran[0], ended), queued,
            )
        )  # fmt: skip

    def _make_shape(
        self, told_method: bytes, told_path: bytes, status: int, parent: int, request_id: int, state: int
    ) -> tuple[bytes, bytes]:
        """Spans of calls that are alike but for ids and times: the server's alone, and with the predictor's."""
        method, path = told_method.decode("latin-1"), told_path.decode("latin-1")
        name = method[1:] if method.startswith("/") else f"{method} /"  # an RPC of a user's own service
        attributes = (("cortex.api", self._api), ("http.request.method", method), ("url.path", path))
        constant = span_export.described(name, span_export.SERVER, attributes)
        constant += span_export.number("http.response.status_code", status) + span_export.failed(status >= 500)
        server = span_export.shape(
            parent, constant, span_export.before_text("cortex.request_id", request_id), request_id, state
        )
        constant = span_export.described("predict", span_export.INTERNAL) + span_export.failed(status >= 500)
        queued = span_export.before_double("cortex.queue_time_ms")
        return server, server + span_export.shape(span_export.PARENT_SIZE, constant, queued, span_export.DOUBLE.size)

    def shutdown(self) -> None:
        self._outgoing.close(_LAST_SECONDS)
        self._end_export()
        super().shutdown()


def set_up(instance: str, api: str, environ: Mapping[str, str]) -> Spans | None:
    """None when nothing asks for traces."""
    if not any(name.startswith("OTEL_") for name in environ):
        return None
    from services.chassis import telemetry

    target = telemetry.collector(environ)
    if target is None:
        return None
    tracing = telemetry.set_up_tracing("cortex-runtime", instance, environ)
    sampler = sampling.of(environ)
    if sampler is None or target.protocol != "grpc":
        return Spans(tracing, api)
    return Records(tracing, api, sampler, target.endpoint, environ)


def _header(fields: list[bytes], name: bytes) -> str:
    for at in range(6, len(fields) - 1, 2):
        if fields[at] == name:
            return fields[at + 1].decode("latin-1")
    return ""


def _replace_header(fields: list[bytes], name: bytes, value: bytes) -> None:
    for at in range(6, len(fields) - 1, 2):
        if fields[at] == name:
            fields[at + 1] = value
            return
    fields += (name, value)
