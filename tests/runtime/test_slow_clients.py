"""Thousands of callers who send or read as slowly as they can: each meets a limit, and nobody else notices."""

import asyncio
import contextlib
import dataclasses
import pathlib
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator

from tests.runtime import replica as replicas

SOURCE = """
class PythonPredictor:
    def predict(self, payload, query_params):
        return b"x" * int(query_params.get("size", 2))
"""
CALLERS = 2000
ANSWER = 1_000_000
LEAST_ROOM = 64 * 2**20  # of bodies.py, for what waits in memory
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 60_000
BODY = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
READER = b"POST /?size=%d HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" % ANSWER
GOOD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab"


def resident(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def descriptors(pid: int) -> int:
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


@contextlib.asynccontextmanager
async def connected(port: int, receives: int = 0) -> AsyncIterator[socket.socket]:
    with socket.socket() as sock:
        sock.setblocking(False)
        if receives:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        yield sock


async def trickle(port: int, first: bytes, rest: bytes) -> str:
    """Sends `rest` byte by byte; how it ended."""
    loop = asyncio.get_running_loop()
    async with connected(port) as sock:
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(sock, first)
            answer = asyncio.ensure_future(loop.sock_recv(sock, 1000))
            try:
                for at in range(len(rest)):
                    await loop.sock_sendall(sock, rest[at : at + 1])
                    if (await asyncio.wait([answer], timeout=0.5))[0]:
                        return answer.result()[9:12].decode() or "closed"
            finally:
                answer.cancel()
        return "reset"


async def take_nothing(port: int, gone: asyncio.Event) -> str:
    """Asks for an answer and leaves it where it is, until the other side has had enough."""
    loop = asyncio.get_running_loop()
    async with connected(port, receives=4096) as sock:
        await loop.sock_sendall(sock, READER)
        await gone.wait()
        got = 0
        with contextlib.suppress(ConnectionError):
            while part := await loop.sock_recv(sock, 1 << 20):
                got += len(part)
        return "cut" if got < ANSWER else "whole"


async def others(port: int, answers: "Counter[bytes]", stop: asyncio.Event) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.ensure_future(stop.wait())
    async with connected(port) as sock:
        while not stopped.done():
            await loop.sock_sendall(sock, GOOD)
            answers[(await loop.sock_recv(sock, 65536)).split(b"\r\n")[0]] += 1
            await asyncio.wait([stopped], timeout=0.02)


@dataclasses.dataclass
class Siege:
    ended: "Counter[str]"
    answers: "Counter[bytes]"
    held: int = 0  # descriptors
    peak: int = 0  # bytes


async def besiege(served: replicas.Replica) -> Siege:
    """How the slow ended, what another caller was answered meanwhile, and the most that the front held."""
    port, pid = served.http_port, served.process.pid
    found, stop, gone = Siege(Counter(), Counter()), asyncio.Event(), asyncio.Event()
    before, third = descriptors(pid), CALLERS // 3
    other = asyncio.ensure_future(others(port, found.answers, stop))
    slow = [asyncio.ensure_future(trickle(port, HEAD[:5], HEAD[5:])) for _ in range(third)]
    slow += [asyncio.ensure_future(trickle(port, BODY, b"b" * 100_000)) for _ in range(third)]
    readers = [asyncio.ensure_future(take_nothing(port, gone)) for _ in range(CALLERS - 2 * third)]
    while found.held < 2 * third or descriptors(pid) > before + 1:  # until all but the other have been let go
        found.held, found.peak = max(found.held, descriptors(pid) - before), max(found.peak, resident(pid))
        await asyncio.wait([other], timeout=0.1)
    gone.set()
    stop.set()
    await other
    found.ended.update(await asyncio.gather(*slow, *readers))
    return found


def test_two_thousand_slow_callers_at_once(tmp_path: pathlib.Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    spec = {"networking": {"maxRequestBytes": "1000000"}}
    try:
        with replicas.running(tmp_path, SOURCE, spec=spec, module="tests.runtime.impatient") as served:
            assert served.client.post("/").text == "xx"
            pid, workers = served.process.pid, served.worker_pids
            before, opened = resident(pid), descriptors(pid)
            found = asyncio.run(besiege(served))
            print(f"{found.ended} {found.answers}, {found.held} at once, {before >> 20} -> {found.peak >> 20} MiB")
            assert found.ended.keys() <= {"408", "cut", "closed", "reset"}
            assert found.ended["408"] > CALLERS // 2 and found.ended["cut"] == CALLERS - 2 * (CALLERS // 3)
            assert found.answers.keys() == {b"HTTP/1.1 200 OK"} and found.answers.total() > 20
            assert found.peak - before < 2 * LEAST_ROOM
            assert served.client.post("/").text == "xx" and served.worker_pids == workers
            replicas.wait_for(lambda: descriptors(pid) <= opened)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
