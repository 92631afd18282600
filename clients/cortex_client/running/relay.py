"""The port that callers use: every connection goes to the replica that serves now.

It passes bytes and looks at nothing but the first ones, which tell gRPC from HTTP, as at the gateway. A replica that is
replaced keeps the connections it has until it has drained.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable

from cortex_client import exceptions

# HTTP/2 with prior knowledge, which is how gRPC begins without TLS.
_HTTP2 = b"PRI "
_CHUNK = 256 * 1024
Address = tuple[str, int]
_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Relay:
    def __init__(self, host: str) -> None:
        self._host = host
        self._http: Address | None = None
        self._grpc: Address | None = None
        self._known = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, port: int, grpc_port: int | None) -> int:
        """Opens the ports and returns the first one's number. Raises CortexError when one is taken."""
        number = await self._open(port, self._either)
        if grpc_port is not None:
            await self._open(grpc_port, self._only_grpc)
        return number

    async def _open(self, port: int, serve: _Serve) -> int:
        try:
            server = await asyncio.start_server(serve, self._host, port)
        except OSError as error:
            raise exceptions.CortexError(
                f"port {port} cannot be opened: {os.strerror(error.errno) if error.errno else error}",
                hint="choose another with --port or --grpc-port; `cortex status` tells whether the platform has it",
            ) from None
        self._servers.append(server)
        number: int = server.sockets[0].getsockname()[1]
        return number

    def point(self, http: Address, grpc: Address) -> None:
        """From now on new connections go there. Those that came too early go there too."""
        self._http, self._grpc = http, grpc
        self._known.set()

    def refuse(self) -> None:
        """Takes no new connections; those it has go on."""
        for server in self._servers:
            server.close()

    async def close(self) -> None:
        self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _either(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def carry() -> None:
            first = await _first(reader)
            await self._known.wait()
            target = self._grpc if first.startswith(_HTTP2) else self._http
            await _carry(first, reader, writer, target)

        await self._own(carry, writer)

    async def _only_grpc(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def carry() -> None:
            await self._known.wait()
            await _carry(b"", reader, writer, self._grpc)

        await self._own(carry, writer)

    async def _own(self, carry: Callable[[], Awaitable[None]], writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await carry()
        except (OSError, asyncio.CancelledError):
            # One of the two has gone; the other sees its connection closed.
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


async def _first(reader: asyncio.StreamReader) -> bytes:
    """What the caller says first, as much as is needed to know its protocol."""
    found = b""
    while len(found) < len(_HTTP2) and _HTTP2.startswith(found):
        more = await reader.read(_CHUNK)
        if not more:
            break
        found += more
    return found


async def _carry(
    first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Address | None
) -> None:
    assert target is not None
    there_reader, there_writer = await asyncio.open_connection(*target)
    try:
        there_writer.write(first)
        there = asyncio.ensure_future(_hear(reader, there_writer))
        try:
            # The replica's word is the last: it closes when it has answered.
            await _pump(there_reader, writer)
        finally:
            there.cancel()
            await asyncio.gather(there, return_exceptions=True)
    finally:
        there_writer.close()


async def _hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What the caller says. One who breaks off, instead of closing, has left too, and the replica must hear of it; one
    whom the replica hears no further may still be waiting for its answer."""
    try:
        await _pump(reader, writer)
    except OSError:
        if reader.exception() is not None:
            writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
