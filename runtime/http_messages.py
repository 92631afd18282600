"""Bytes of HTTP/1.1 responses. No state, no sockets."""

import functools
import http
import json
from collections.abc import Iterable


@functools.lru_cache(maxsize=1024)
def status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Status"
    return b"HTTP/1.1 %d %s\r\n" % (status, phrase.encode())


@functools.lru_cache(maxsize=1024)
def plain_head(content_type: bytes) -> bytes:
    """The head of a 200 up to the value of its content-length."""
    lines = [(b"content-type", content_type)] if content_type else []
    return head(200, lines) + b"content-length: "


def head(status: int, lines: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Status line and headers, without the empty line that ends them."""
    return status_line(status) + b"".join([b"%b: %b\r\n" % line for line in lines])


def error_body(text: str, request_id: str) -> bytes:
    return json.dumps({"error": text, "request_id": request_id}, separators=(",", ":")).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


# Any page may call an API and read the answer; who may do so at all is the gateway's to say.
CROSS_ORIGIN = b"access-control-allow-origin: *\r\naccess-control-expose-headers: x-request-id\r\n"
_VERBS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


def preflight(asked_headers: bytes) -> list[tuple[bytes, bytes]]:
    """What a browser may send next: anything. `asked_headers` are told back, as `*` would not cover authorization."""
    lines = [(b"access-control-allow-methods", _VERBS), (b"access-control-max-age", b"600")]
    return [*lines, (b"access-control-allow-headers", asked_headers)] if asked_headers else lines


def has_body(status: int) -> bool:
    return status >= 200 and status not in (204, 304)
