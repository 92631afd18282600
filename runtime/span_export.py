"""Spans on their way to a collector: encoded where they end, sent many at a time by a thread.

The SDK makes several objects per span and encodes them one by one, which costs more than the request. A span here is
its bytes in OTLP (opentelemetry.proto.trace.v1.Span), put together from parts most of which never change. The SDK's
exporter does the sending, with all it reads from OTEL_EXPORTER_*.
"""

import logging
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_log = logging.getLogger(__name__)
_BATCH = 2048
_BATCH_BYTES = 2 * 1024 * 1024  # a collector takes 4 MiB at once, unless told otherwise
_LIMIT = 65_536  # spans that wait while the collector is slow or away; beyond it they are dropped
_LEAST_PERIOD = 0.05
SERVER, INTERNAL = 2, 1
_TIMES = struct.Struct("<BQBQ")
DOUBLE = struct.Struct("<d")
_START, _END = 7 << 3 | 1, 8 << 3 | 1
PARENT_SIZE = 10


def span(ids: tuple[bytes, bytes, bytes], when: tuple[int, int], told: bytes) -> bytes:
    """`ids`: of the trace, the span and its parent; `when` in nanoseconds; `told`: what else there is to say."""
    trace, own, above = ids
    return shape(PARENT_SIZE, told) % (trace, own, parent(above), times(*when))


def shape(above: int, *told: bytes | int) -> bytes:
    """A span to be filled in with %: ids of the trace and of itself, `parent`, `times`, then what is `told`.

    `above` is the length of what `parent` gives, or 0; a number in `told` stands for a value of that many bytes.
    """
    parts = (b"\x0a\x10", 16, b"\x12\x08", 8, above, _TIMES.size, *told)
    size = sum(part if isinstance(part, int) else len(part) for part in parts)
    before = _begin(2, size).replace(b"%", b"%%")  # of a ScopeSpans
    return before + b"".join([b"%b" if isinstance(part, int) else part.replace(b"%", b"%%") for part in parts])


def parent(own: bytes) -> bytes:
    """The span above."""
    return b'"\x08' + own


def times(began: int, ended: int) -> bytes:
    """In nanoseconds."""
    return _TIMES.pack(_START, began, _END, ended)


def failed(is_failed: bool) -> bytes:
    return b"\x7a\x02\x18\x02" if is_failed else b""  # status: error


def described(name: str, kind: int, attributes: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The part of a span that many have."""
    return _field(5, name.encode()) + bytes([6 << 3, kind]) + b"".join(text(key, value) for key, value in attributes)


def text(key: str, value: str) -> bytes:
    """An attribute."""
    return _attribute(key, _field(1, value.encode()))


def link(trace: bytes, span: bytes) -> bytes:
    """To another span."""
    return _field(13, b"\x0a\x10%b\x12\x08%b" % (trace, span))


def state(told: str) -> bytes:
    """The caller's tracestate."""
    return _field(3, told.encode()) if told else b""


def number(key: str, value: int) -> bytes:
    return _attribute(key, b"\x18" + _varint(value))


def before_double(key: str) -> bytes:
    """An attribute up to its value, which is eight bytes."""
    return _attribute(key, b"\x21" + DOUBLE.pack(0.0))[: -DOUBLE.size]


def before_text(key: str, size: int) -> bytes:
    """An attribute up to its value of `size` bytes."""
    whole = text(key, "x" * size)
    return whole[: len(whole) - size]


def _attribute(key: str, value: bytes) -> bytes:
    return _field(9, _field(1, key.encode()) + _field(2, value))


def _field(tag: int, data: bytes) -> bytes:
    return _begin(tag, len(data)) + data


def _begin(tag: int, size: int) -> bytes:
    return bytes((tag << 3 | 2,)) + _varint(size)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


class Outgoing:
    """Spans that wait to be sent. `send` is called on a thread."""

    def __init__(self, send: Callable[[Sequence[bytes]], None], period: float) -> None:
        self._send = send
        self._period = max(period, _LEAST_PERIOD)
        self._spans: list[bytes] = []
        self._wake = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="cortex-spans", daemon=True)
        self._thread.start()

    def add(self, spans: bytes) -> None:
        """One, or several in one piece."""
        if len(self._spans) >= _LIMIT:
            return
        self._spans.append(spans)
        if len(self._spans) >= _BATCH:
            self._wake.set()

    def _run(self) -> None:
        while not self._over or self._spans:
            self._wake.wait(self._period)
            self._wake.clear()
            spans, self._spans = self._spans, []
            for batch in batches(spans):
                try:
                    self._send(batch)
                except Exception:  # the thread ends with the process only: later batches may do better
                    _log.exception("%d spans were lost on their way to the collector", len(batch))

    def close(self, seconds: float) -> None:
        """Sends what is left, for as long as that may take."""
        self._over = True
        self._wake.set()
        self._thread.join(seconds)


def batches(spans: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """In order, each small enough to be taken; one that is not, for its own size, goes alone."""
    for at in range(0, len(spans), _BATCH):
        batch = spans[at : at + _BATCH]
        if len(batch) > 1 and sum(map(len, batch)) > _BATCH_BYTES:
            middle = len(batch) // 2
            yield from batches(batch[:middle])
            yield from batches(batch[middle:])
        else:
            yield batch


class _Stub:
    """TraceServiceStub for bytes."""

    def __init__(self, channel: Any) -> None:
        self.Export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")


def open_exporter(endpoint: str, resource: Any, environ: Mapping[str, str]) -> tuple[Outgoing, Callable[[], None]]:
    """Over gRPC. Returns also what ends the connection."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    told = b"".join(_field(1, _field(1, key.encode()) + _field(2, _value(each))) for key, each in resource.items())
    head = _field(1, told)
    scope = _field(1, _field(1, b"cortex"))

    class Exporter(OTLPSpanExporter):
        """Takes spans that are encoded already, and sends bytes."""

        def _initialize_channel_and_stub(self) -> None:
            self._stub = _Stub
            super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]

        def _translate_data(self, data: Any) -> Any:
            return _field(1, head + _field(2, scope + b"".join(data)))

    exporter: Any = Exporter(endpoint=endpoint)
    period = float(environ.get("OTEL_BSP_SCHEDULE_DELAY") or 5000) / 1000
    return Outgoing(exporter.export, period), exporter.shutdown


def _value(value: Any) -> bytes:
    """An AnyValue."""
    if isinstance(value, int) and not isinstance(value, bool):
        return b"\x18" + _varint(value)
    return _field(1, str(value).encode())
