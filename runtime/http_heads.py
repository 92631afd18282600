"""What the head of a request says, and a memory of heads: most callers send the same one again and again.

A head that came before is known by its bytes, so its request costs one look-up instead of a parse. What differs from
request to request, as the names that a gateway gives to each, is cut out before the look-up and handed over beside the
head.
"""

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any

import httptools

from runtime import errors, slabs, tracing
from runtime.calls import DEFAULT_PRIORITY

MAX_HEAD_BYTES = 64 * 1024
ATTEMPT_HEADER = b"x-envoy-attempt-count"  # what the gateway tells us, and the predictor need not know
_REQUEST_ID_BYTES = 200
_KEPT_HEADS = 1024
_KEPT_BYTES = 2048
_MARKS = 16_384
_NOT_KEPT = frozenset([b"expect", b"transfer-encoding", b"content-encoding", b"upgrade"])
# Headers whose values are a request's own, in their usual form: whatever else the rules for values say, these are fine.
_OWN = (b"x-request-id", b"traceparent", b"content-length", b"grpc-timeout")
_OWN_LINE = re.compile(rb"(\r\n(?:%b): )([0-9A-Za-z-]{1,200})(?=\r\n)" % b"|".join(_OWN))


class Head:
    """One request head, read; shared by all requests that have it and hence never changed."""

    __slots__ = (
        "attempt", "cross_origin", "encoding", "failure", "fields", "grpc", "head_only", "headers", "id_at",
        "keep_alive", "kept", "known", "old", "own", "places", "plain", "preflight", "priority", "size", "size_at",
        "straight", "timeout", "trace_at", "verb",
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
        self.verb = method.decode("latin-1")
        self.preflight: bytes | None = None  # the headers a browser asks leave for, when it asks for leave
        if self.cross_origin and method == b"OPTIONS" and b"access-control-request-method" in known:
            self.preflight = get(b"access-control-request-headers", b"")
        # Whether it asks for a prediction, should the predictor have that verb.
        self.straight = path == b"/" and self.preflight is None
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
        # In a head that is kept for others: the size of the body, where that is not their own, and of what is their own
        # the names in order, the places in a request frame, and which of them is what.
        self.size = 0
        self.own: Sequence[bytes] = ()
        self.places: Sequence[tuple[int, int]] = ()
        self.id_at = self.trace_at = self.size_at = -1

    def for_others(self, own: Sequence[bytes], size: int) -> "Head":
        """Without the values of the headers `own`, for each of them to fill in."""
        kept = copy.copy(self)
        kept.size, kept.own = size, own
        kept.fields = [*self.fields[:4], b"", b""]
        kept.known = {name: value for name, value in self.known.items() if name not in own}
        first = len(kept.fields) + 1
        kept.places = [(first + 2 * n, own.index(name)) for n, name in enumerate(self.headers[::2]) if name in own]
        kept.id_at, kept.trace_at, kept.size_at = (own.index(name) if name in own else -1 for name in _OWN[:3])
        return kept

    def fits(self, own: Sequence[bytes], size: int) -> bool:
        """Whether these values are valid, and the body as long as it has to be."""
        if len(own) != len(self.own) or (self.trace_at >= 0 and not tracing.valid(own[self.trace_at])):
            return False
        if self.size_at < 0:
            return size == self.size
        told = own[self.size_at]
        return told.isdigit() and int(told) == size


class Heads:
    """Heads that came lately, by their bytes; one for all connections of a door."""

    def __init__(self) -> None:
        self._seen: dict[bytes, Head] = {}
        self._once: set[int] = set()  # hashes of heads that came once: many never come again, and keeping has its price
        self._missed: tuple[bytes, list[bytes], list[bytes]] | None = None

    def find(self, data: bytes) -> tuple[Head, int, Sequence[bytes]] | None:
        """The head of a request that is here as a whole, where its body begins, and the values that are its own."""
        end = data.find(b"\r\n\r\n") + 4
        whole, size = data[:end], len(data) - end
        self._missed = None
        head = self._seen.get(whole)
        if head is not None and not head.own:
            return (head, end, ()) if size == head.size else None
        if size > slabs.LEAST_BYTES or end > _KEPT_BYTES:
            return None
        parts = _OWN_LINE.split(whole)
        lines, own = parts[1::3], parts[2::3]
        del parts[2::3]
        rest = b"".join(parts)
        head = self._seen.get(rest)
        if head is None:
            self._missed = rest, lines, own
            return None
        return (head, end, own) if head.fits(own, size) else None

    def keep(self, data: bytes, size: int, head: Head, known: dict[bytes, bytes], names: list[bytes]) -> None:
        """`data` was one whole request that was not found: its body's `size`, its `head`, and its headers' `names`."""
        if self._missed is None or head.failure is not None or not head.keep_alive:
            return
        rest, lines, values = self._missed
        if (mark := hash(rest)) not in self._once:
            if len(self._once) >= _MARKS:
                self._once.clear()
            self._once.add(mark)
            return
        if data.find(b"\r\n\r\n") != len(data) - size - 4 or not _NOT_KEPT.isdisjoint(known):
            return
        own = [line[2:-2] for line in lines]
        kept = head.for_others(own, size)
        # Told twice, or in another form, and the parser found what is not cut out.
        if any(names.count(name) > 1 for name in _OWN) or not kept.fits(values, size):
            return
        if any(name in known and name not in own for name in _OWN if name != b"content-length"):
            return
        if len(self._seen) >= _KEPT_HEADS:
            self._seen.clear()
        self._seen[rest] = kept

    def __len__(self) -> int:
        return len(self._seen)


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
