"""What the head of a request says, and a memory of heads: most callers send the same one again and again.

A head that came before is known by its bytes, so its request costs one look-up instead of a parse. What names the
request or its trace, as a gateway does for each, is cut out before the look-up and handed over beside the head.
"""

from collections.abc import Callable
from typing import Any

import httptools

from runtime import errors, tracing
from runtime.calls import DEFAULT_PRIORITY

MAX_HEAD_BYTES = 64 * 1024
ATTEMPT_HEADER = b"x-envoy-attempt-count"  # what the gateway tells us, and the predictor need not know
_REQUEST_ID_BYTES = 200
_KEPT_HEADS = 256
_KEPT_BYTES = 2048
_NOT_KEPT = frozenset([b"expect", b"transfer-encoding", b"content-encoding", b"upgrade"])
_ID, _TRACE = b"x-request-id", b"traceparent"
_ID_LINE, _TRACE_LINE = b"\r\nx-request-id: ", b"\r\ntraceparent: "


class Head:
    """One request head, read; shared by all requests that have it and hence never changed."""

    __slots__ = (
        "attempt", "cross_origin", "encoding", "failure", "fields", "grpc", "head_only", "headers", "id_at",
        "keep_alive", "kept", "known", "old", "plain", "preflight", "priority", "size", "timeout", "trace_at",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, known: dict[bytes, bytes], *, keep_alive: bool, old: bool) -> None:
        path, _, query = target.partition(b"?")
        get = known.get
        told, traceparent = get(b"x-request-id", b""), get(b"traceparent", b"")
        request_id = told if 0 < len(told) <= _REQUEST_ID_BYTES and told.isascii() else b""
        # Those of a request frame (shim/frames.py); without a request id when one is to be made.
        self.fields = [
            method, path, query.partition(b"#")[0], get(b"content-type", b""), request_id,
            tracing.valid(traceparent) if traceparent else b"",
        ]  # fmt: skip
        self.known = known  # by name, the last of each
        self.headers: list[bytes] = []  # names, in lower case, and values in turn
        # What is passed on though nobody reads headers.
        self.kept = [part for name in (b"accept", b"tracestate") if name in known for part in (name, known[name])]
        self.attempt = attempt(known[ATTEMPT_HEADER]) if ATTEMPT_HEADER in known else 0
        self.old = old  # HTTP/1.0
        self.grpc = self.fields[3].startswith(b"application/grpc")  # whose failures are told in gRPC's way
        self.keep_alive = keep_alive
        self.head_only = method == b"HEAD"
        self.cross_origin = b"origin" in known  # a browser asks on behalf of a page from elsewhere
        # Whether an answer needs no more than the least of headers.
        self.plain = keep_alive and not (old or self.head_only or self.cross_origin)
        self.preflight: bytes | None = None  # the headers a browser asks leave for, when it asks for leave
        if self.cross_origin and method == b"OPTIONS" and b"access-control-request-method" in known:
            self.preflight = get(b"access-control-request-headers", b"")
        encoding = get(b"content-encoding", b"")
        self.encoding = encoding if encoding.lower() != b"identity" else b""
        self.failure: errors.Failure | None = None
        self.timeout: float | None = None
        if (asked := get(b"x-request-timeout-ms")) is not None:
            self.timeout = seconds(asked)
            if self.timeout is None:
                self.failure = errors.BAD_TIMEOUT
        self.priority = priority(get(b"x-request-priority"))
        if not self.priority:
            self.failure = errors.BAD_PRIORITY
        # In a head that is kept: the size of the body, and where among the headers the names of one request belong.
        self.size = self.id_at = self.trace_at = 0

    def be_shared(self, size: int) -> None:
        """Forgets the names of the request that brought it, which has its own copy of them."""
        self.size = size
        self.fields[4:6] = b"", b""
        names = self.headers[::2]
        for name in (_ID, _TRACE):
            self.known.pop(name, None)
        self.id_at = 2 * names.index(_ID) + 1 if _ID in names else 0
        self.trace_at = 2 * names.index(_TRACE) + 1 if _TRACE in names else 0


def named(head: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The bytes of a head without what names its request, request id, and traceparent; the latter empty where missing.
    None where they are not of the usual form, so that the parser has to judge them."""
    request_id = traceparent = b""
    if (at := head.find(_ID_LINE)) > 0:
        at += len(_ID_LINE)
        end = head.find(b"\r\n", at)
        request_id = head[at:end]
        # Letters, digits and dashes: whatever else the rules for a header's value say, these are fine.
        if len(request_id) > _REQUEST_ID_BYTES or not request_id.replace(b"-", b"").isalnum():
            return None
        head = head[:at] + head[end:]
    if (at := head.find(_TRACE_LINE)) > 0:
        at += len(_TRACE_LINE)
        end = head.find(b"\r\n", at)
        traceparent = tracing.valid(head[at:end])
        if not traceparent:
            return None
        head = head[:at] + head[end:]
    return head, request_id, traceparent


class Heads:
    """Heads that came lately, by their bytes; one for all connections of a door."""

    def __init__(self) -> None:
        self.seen: dict[bytes, Head] = {}

    def keep(self, data: bytes, size: int, head: Head, known: dict[bytes, bytes], names: list[bytes]) -> None:
        """`data` was one whole request, with a body of `size` bytes, `head`, and headers of these `names`."""
        end = len(data) - size
        if end > _KEPT_BYTES or head.failure is not None or not head.keep_alive:
            return
        if data.find(b"\r\n\r\n") != end - 4 or not _NOT_KEPT.isdisjoint(known):
            return
        cut = named(data[:end])
        # Written in another way, or twice, the parser found what was not cut.
        if cut is None or (known.get(_ID, b""), known.get(_TRACE, b"")) != cut[1:]:
            return
        if names.count(_ID) > 1 or names.count(_TRACE) > 1:
            return
        if len(self.seen) >= _KEPT_HEADS:
            self.seen.clear()
        head.be_shared(size)
        self.seen[cut[0]] = head


def made(
    parser: Any, url: bytes, known: dict[bytes, bytes], fields: list[bytes], takes_encoded: Callable[[bytes], bool]
) -> Head:
    """From what was parsed of a request; `fields` are names and values of its headers in turn."""
    method, old = b"GET", False
    if url:
        method, old = parser.get_method(), parser.get_http_version() == "1.0"
    head = Head(method, target(url), known, keep_alive=parser.should_keep_alive(), old=old)
    if head.encoding and head.failure is None and not takes_encoded(head.fields[1]):
        head.failure = errors.encoded(head.encoding)
    if ATTEMPT_HEADER in known:
        pairs = zip(fields[::2], fields[1::2], strict=True)
        head.headers = [part for pair in pairs if pair[0] != ATTEMPT_HEADER for part in pair]
    else:
        head.headers = fields
    return head


def is_shared(url: bytes, known: dict[bytes, bytes]) -> bool:
    """Whether the body goes to a worker as it is: a payload, or binary tensors (oip/http_request.py)."""
    if url[:2] in (b"/", b"/?"):
        return True
    return url.startswith(b"/v2/") and b"inference-header-content-length" in known and b"content-encoding" not in known


def attempt(told: bytes) -> int:
    return int(told) if told.isdigit() and len(told) < 4 else 0


def priority(told: bytes | None) -> int:
    """1 is served first, 9 last; 0 where the value is none."""
    if told is None:
        return DEFAULT_PRIORITY
    return int(told) if len(told) == 1 and told.isdigit() else 0


def seconds(told: bytes) -> float | None:
    try:
        millis = float(told)
    except ValueError:
        return None
    return millis / 1000 if 0 < millis < 1e12 else None


def target(url: bytes) -> bytes:
    """Path and query of a request target, which may be a whole URL."""
    if url.startswith(b"/") or not url:
        return url
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        return url
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
