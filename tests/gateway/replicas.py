"""Replicas for the gateway to send to: small servers whose deaths are under control."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc

from services.apiserver import model

Answer = tuple[int, Mapping[str, str], bytes]
_numbers = itertools.count()


class Replica:
    """HTTP/1.1: answers with its name, the path it saw and the size of the body. `answer` may be replaced. Unary gRPC
    as the gateway's bridge sends it is echoed behind the name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests = 0
        self.headers: Mapping[str, str] = {}
        self.port = self.grpc_port = 0
        self.answer: Callable[[str, bytes], Awaitable[Answer]] = self._echo
        self._server: asyncio.Server | None = None
        self._grpc: grpc.aio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def endpoint(self) -> model.Endpoint:
        grpc_address = f"127.0.0.1:{self.grpc_port}" if self.grpc_port else ""
        return model.Endpoint(self.name, f"127.0.0.1:{self.port}", grpc_address)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def start_grpc(self) -> None:
        self._grpc = grpc.aio.server()
        self._grpc.add_generic_rpc_handlers((_Echo(self.name),))
        self.grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{self.grpc_port}")
        await self._grpc.start()

    async def kill(self) -> None:
        """Like SIGKILL: the port is closed and every connection reset, whatever was going on."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            self._server = None
        if self._grpc is not None:
            await self._grpc.stop(None)
            self._grpc = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # accepted in the moment of the death
            writer.transport.abort()
            return
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ", 2)[1]
                told = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                self.headers = told
                body = await _read_body(reader, told)
                self.requests += 1
                if told.get("content-type") == "application/grpc":
                    said: Answer = (200, {"content-type": "application/grpc"}, _framed(self.name, body))
                else:
                    said = await self.answer(path, body)
                status, headers, answer = said
                lines = [f"HTTP/1.1 {status} X", f"content-length: {len(answer)}"]
                lines += [f"{key}: {value}" for key, value in headers.items()]
                writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + answer)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    async def _echo(self, path: str, body: bytes) -> Answer:
        said = {"replica": self.name, "path": path, "bytes": len(body)}
        return 200, {"content-type": "application/json"}, json.dumps(said).encode()


class _Echo(grpc.GenericRpcHandler):
    """Answers every method with its own name and the request."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()

    def service(self, handler_call_details: Any) -> Any:
        async def answer(request: bytes, _context: Any) -> bytes:
            return self._name + b":" + request

        return grpc.unary_unary_rpc_method_handler(answer)


def _framed(name: str, body: bytes) -> bytes:
    """What a runtime answers to a bridged unary call, with the message of `_Echo`."""
    answer = name.encode() + b":" + body[5:]
    return b"\0" + len(answer).to_bytes(4, "big") + answer


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    chunks = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    await reader.readuntil(b"\r\n")
    return b"".join(chunks)


@contextlib.asynccontextmanager
async def started(count: int = 1, *, with_grpc: bool = False) -> AsyncIterator[list[Replica]]:
    replicas = [Replica(f"replica-{next(_numbers)}") for _ in range(count)]
    for replica in replicas:
        await replica.start()
        if with_grpc:
            await replica.start_grpc()
    try:
        yield replicas
    finally:
        for replica in replicas:
            await replica.kill()
