"""What the head of a request says, and a memory of heads: most callers send the same one again and again.

A head that came before is known by its bytes, so its request costs one look-up instead of a parse. Heads that name
their request or its trace are not kept: no two are alike.
"""

import httptools

from runtime import errors, tracing
from runtime.calls import DEFAULT_PRIORITY

MAX_HEAD_BYTES = 64 * 1024
ATTEMPT_HEADER = b"x-envoy-attempt-count"  # what the gateway tells us, and the predictor need not know
_REQUEST_ID_BYTES = 200
_KEPT_HEADS = 256
_KEPT_BYTES = 2048
_NOT_KEPT = frozenset(
    [b"x-request-id", b"traceparent", b"expect", b"transfer-encoding", b"content-encoding", b"upgrade"]
)


class Head:
    """One request head, read; shared by all requests that have it and hence never changed."""

    __slots__ = (
        "attempt", "cross_origin", "encoding", "failure", "fields", "grpc", "head_only", "headers",
        "keep_alive", "kept", "known", "old", "plain", "preflight", "priority", "size", "timeout",
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
        self.size = 0  # of the body, in a head that is kept


class Heads:
    """Heads that came lately, by their bytes; one for all connections of a door."""

    def __init__(self) -> None:
        self.seen: dict[bytes, Head] = {}

    def keep(self, data: bytes, size: int, head: Head, known: dict[bytes, bytes]) -> None:
        """`data` was one whole request, with a body of `size` bytes and `head`."""
        end = len(data) - size
        if end > _KEPT_BYTES or head.failure is not None or not head.keep_alive:
            return
        if data.find(b"\r\n\r\n") != end - 4 or not _NOT_KEPT.isdisjoint(known):
            return
        if len(self.seen) >= _KEPT_HEADS:
            self.seen.clear()
        head.size = size
        self.seen[data[:end]] = head


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
