"""What a call to Triton costs in the front, by gRPC and by binary HTTP: `python -m tests.bench.triton_transport`.

CPU microseconds of this process per request, which neighbours on the machine disturb least; rounds are interleaved.
"""

import asyncio
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable

from runtime.triton import wire
from tests.triton import stand
from tests.triton.stand import Stand, double

ROUNDS, REQUESTS, CALLERS = 5, 800, 8


class Http:
    """Keep-alive connections to Triton's HTTP port; as little around them as can be."""

    def __init__(self, served: Stand) -> None:
        line = pathlib.Path(f"/proc/{served.runner.pid}/cmdline").read_text().split("\0")
        options = dict(word[2:].split("=", 1) for word in line if word.startswith("--") and "=" in word)
        self._port = int(options["http-port"])
        self._key = options["http-restricted-api"].partition(":")[2].replace("=", ": ")
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def infer(self) -> None:
        request = double(1.5, -2.5)
        inputs = [
            {"name": t.name, "datatype": t.datatype, "shape": t.shape, "parameters": {"binary_data_size": len(t.data)}}
            for t in request.inputs
        ]
        outputs = [{"name": name, "parameters": {"binary_data": True}} for name in request.outputs]
        head = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
        body = head + b"".join(bytes(t.data) for t in request.inputs)
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(
            f"POST /v2/models/double/infer HTTP/1.1\r\nhost: t\r\n{self._key}\r\n"
            f"inference-header-content-length: {len(head)}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        told = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(told.partition("\r\ncontent-length: ")[2].partition("\r")[0])
        assert told.startswith("http/1.1 200"), told
        await reader.readexactly(size)
        self._free.append((reader, writer))


async def round_of(call: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Requests per second, and CPU microseconds of ours per request."""

    async def caller() -> None:
        for _ in range(REQUESTS // CALLERS):
            await call()

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return REQUESTS / (time.perf_counter() - began), (time.process_time() - cpu) / REQUESTS * 1e6


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with stand.running("triton", pathlib.Path(folder), models=["double"]) as served:
            http = Http(served)

            async def by_grpc() -> None:
                to = served.runner._calls.server
                wire.response(await to.stub.ModelInfer(wire.message(double(1.5, -2.5), ""), metadata=to.metadata), "")

            ways: dict[str, Callable[[], Awaitable[object]]] = {
                "gRPC": by_grpc,
                "HTTP, binary": http.infer,
                "HTTP, binary, behind checks, queue and deadline": lambda: served.engine.infer(double(1.5, -2.5)),
            }
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, call in ways.items():
                    found[name].append(await round_of(call))
    for name, rounds in found.items():
        rate, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"{name:40} {rate:7.0f} requests/s {cpu:6.0f} us of CPU per request")


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
