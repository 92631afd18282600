"""Load from several processes: clients that send one request after the other over a connection of their own.

wrk is not everywhere where a GPU is.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import time
from collections.abc import Iterator

_MOST_PROCESSES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """`statuses` counts answers by status, with what a refusal says of a repetition; `lost` those that never came."""

    seconds: float
    latencies: list[float]
    statuses: "collections.Counter[str]"

    @property
    def rps(self) -> float:
        return self.statuses["200"] / self.seconds

    @property
    def failed(self) -> dict[str, int]:
        return {status: count for status, count in self.statuses.items() if status != "200"}

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3 if ordered else 0.0

    def __str__(self) -> str:
        p50, p99 = self.percentile(0.5), self.percentile(0.99)
        return f"{self.rps:.0f} rps, p50 {p50:.2f} ms, p99 {p99:.2f} ms, failed {self.failed or 'none'}"


def post(body: bytes, headers: str = "content-type: application/json", path: str = "/") -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@contextlib.contextmanager
def running(
    port: int, requests: list[bytes], clients: int, seconds: float
) -> "Iterator[list[concurrent.futures.Future[Told]]]":
    """The load, beside what the caller does meanwhile."""
    processes = min(clients, _MOST_PROCESSES)
    with concurrent.futures.ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        shares = [clients // processes + (number < clients % processes) for number in range(processes)]
        yield [pool.submit(_process, port, requests, share, seconds) for share in shares]


def gathered(futures: "list[concurrent.futures.Future[Told]]") -> Told:
    parts = [future.result() for future in futures]
    statuses = sum((part.statuses for part in parts), collections.Counter())
    return Told(max(part.seconds for part in parts), [each for part in parts for each in part.latencies], statuses)


def load(port: int, requests: list[bytes], clients: int, seconds: float) -> Told:
    with running(port, requests, clients, seconds) as futures:
        return gathered(futures)


def _process(port: int, requests: list[bytes], clients: int, seconds: float) -> Told:
    return asyncio.run(_clients(port, requests, clients, seconds))


async def _clients(port: int, requests: list[bytes], clients: int, seconds: float) -> Told:
    told = Told(0.0, [], collections.Counter())
    began = time.monotonic()
    await asyncio.gather(*(_client(port, requests[n % len(requests)], began + seconds, told) for n in range(clients)))
    return dataclasses.replace(told, seconds=time.monotonic() - began)


async def _client(port: int, request: bytes, end: float, told: Told) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            writer.write(request)
            status = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            status = "lost"
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        told.statuses[status] += 1
        if status == "200":
            told.latencies.append(time.monotonic() - began)
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    first, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    await reader.readexactly(int(headers.get("content-length", "0")))
    return " ".join([first.split()[1], headers.get("x-cortex-retry", "")]).strip()
