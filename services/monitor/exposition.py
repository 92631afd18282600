"""The HTTP endpoint that Prometheus scrapes: two paths, small requests, one answer a connection."""

import asyncio
import contextlib
from collections.abc import Callable

import prometheus_client
import structlog
from prometheus_client import exposition

_log = structlog.get_logger("exposition")
_LONGEST_HEAD = 8 * 1024
_SECONDS = 5.0
_MOST_CONNECTIONS = 32
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}
Answer = tuple[int, str, bytes]


class Endpoint:
    """Serves `/metrics` in the format the reader asks for (OpenMetrics or Prometheus text), and `/healthz`."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._registry = registry
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> int:
        """Listens at host:port; returns the port. Raises OSError."""
        host, _, port = address.rpartition(":")
        self._server = await asyncio.start_server(self._serve, host.strip("[]"), int(port), limit=_LONGEST_HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= _MOST_CONNECTIONS:
                async with asyncio.timeout(_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(respond(head, self._render))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the reader went away, was too slow or asked for too much: nothing to tell it
        finally:
            self._connections -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _render(self, accept: str) -> tuple[str, bytes]:
        encode, content_type = exposition.choose_encoder(accept)
        return content_type, encode(self._registry)


def respond(head: bytes, render: Callable[[str], tuple[str, bytes]]) -> bytes:
    """The whole response to a request head."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    status, content_type, body = _answer(words, headers.get("accept", ""), render)
    told = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    allow = "Allow: GET, HEAD\r\n" if status == 405 else ""
    return f"{told}{allow}Connection: close\r\n\r\n".encode() + (b"" if words[0] == "HEAD" else body)


def _answer(words: list[str], accept: str, render: Callable[[str], tuple[str, bytes]]) -> Answer:
    plain = "text/plain; charset=utf-8"
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return 400, plain, b"not an HTTP/1 request\n"
    if words[0] not in ("GET", "HEAD"):
        return 405, plain, b"only GET and HEAD\n"
    path = words[1].partition("?")[0]
    if path == "/healthz":
        return 200, plain, b"ok\n"
    if path != "/metrics":
        return 404, plain, b"there is /metrics and /healthz\n"
    try:
        content_type, body = render(accept)
    except Exception:
        _log.exception("metrics not rendered")
        return 500, plain, b"metrics could not be rendered; see the monitor's log\n"
    return 200, content_type, body
