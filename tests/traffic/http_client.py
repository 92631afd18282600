"""A small HTTP/1.1 client that counts exactly: one request in, one outcome out, nothing repeated behind its back.

A library client may open a second connection and send a request again; a driver that promises "zero failed requests"
must not. Connections are kept alive and re-used; only one that the server closed while idle is replaced.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping


@dataclasses.dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One connection; `request` gives the whole response, `stream` its chunks as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.reusable = True

    def usable(self) -> bool:
        return self.reusable and not self._reader.at_eof() and not self._writer.is_closing()

    def close(self) -> None:
        self.reusable = False
        self._writer.close()

    async def request(self, head: bytes, body: bytes) -> Response:
        status, headers = await self._send(head, body)
        return Response(status, headers, b"".join([chunk async for chunk in self._body(headers)]))

    async def stream(self, head: bytes, body: bytes) -> AsyncIterator[tuple[int, bytes]]:
        status, headers = await self._send(head, body)
        async for chunk in self._body(headers):
            yield status, chunk

    async def _send(self, head: bytes, body: bytes) -> tuple[int, dict[str, str]]:
        self._writer.write(head + body)
        await self._writer.drain()
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        if headers.get("connection", "").lower() == "close":
            self.reusable = False
        return int(lines[0].split(" ", 2)[1]), headers

    async def _body(self, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            yield await self._reader.readexactly(int(headers.get("content-length", "0")))
            return
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")


class Pool:
    """Idle connections to one address."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[Connection] = []

    async def take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return Connection(*await asyncio.open_connection(self._host, self._port))

    def give(self, connection: Connection) -> None:
        if connection.usable():
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()


def head(method: str, path: str, host: str, headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", f"content-length: {length}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
