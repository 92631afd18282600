"""Bodies that reach the worker through shared memory arrive as they were sent, whatever else happens."""

import concurrent.futures
import hashlib
import os
import pathlib
import random
from collections.abc import Iterator

import httpx
import pytest

from tests.runtime import replica as replicas

SOURCE = """
import hashlib, os, signal, threading

class PythonPredictor:
    def predict(self, payload, query_params):
        if query_params.get("mode") == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if query_params.get("mode") == "keep":
            self.kept = payload
            return "kept"
        if query_params.get("mode") == "kept":
            payload = self.kept
        return {"type": type(payload).__name__, "sha": hashlib.sha256(payload).hexdigest()}
"""


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[replicas.Replica]:
    spec = {"networking": {"maxRequestBytes": "40000000"}}
    with replicas.running(tmp_path_factory.mktemp("large"), SOURCE, spec=spec) as found:
        yield found


def body(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def ask(replica: replicas.Replica, data: bytes, mode: str = "") -> httpx.Response:
    headers = {"content-type": "application/octet-stream"}
    return replica.client.post(f"/?mode={mode}" if mode else "/", content=data, headers=headers)


@pytest.mark.parametrize("size", [65_535, 65_536, 131_072, 131_073, 602_112, 16_777_216, 16_777_217, 30_000_000])
def test_every_size_arrives(replica: replicas.Replica, size: int) -> None:
    data = body(size)
    assert ask(replica, data).json() == {"type": "bytes", "sha": sha(data)}


def test_many_at_once_do_not_mix(replica: replicas.Replica) -> None:
    bodies = [body(size) for size in range(70_000, 1_400_000, 33_333)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda data: ask(replica, data).json()["sha"], bodies)
        assert list(answers) == [sha(data) for data in bodies]


def test_requests_behind_a_large_body_on_one_connection(replica: replicas.Replica) -> None:
    data = body(200_000)
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n"
    last = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"
    answers = replica.raw((head % len(data) + data) * 3 + last)
    assert answers.count(sha(data).encode()) == 3 and sha(b"hi").encode() in answers


def test_what_the_predictor_keeps_stays_as_it_was(replica: replicas.Replica) -> None:
    data = body(300_000)
    ask(replica, data, "keep")
    for size in (300_000, 250_000, 300_001):
        ask(replica, body(size)[::-1])
    assert ask(replica, b"", "kept").json()["sha"] == sha(data)


def test_a_body_that_breaks_off_leaves_nothing_behind(replica: replicas.Replica) -> None:
    with replica.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n" + b"x" * 100_000)
    data = body(500_000)
    assert ask(replica, data).json()["sha"] == sha(data)


def test_a_worker_that_dies_takes_no_place_with_it(tmp_path: pathlib.Path) -> None:
    with replicas.running(tmp_path, SOURCE) as replica:
        before, data = shared_bytes(replica), body(1_000_000)
        for _ in range(3):
            assert ask(replica, data, "die").status_code == 503
            replicas.wait_for(lambda: ask(replica, data).status_code == 200)
        assert shared_bytes(replica) - before < 4_000_000


def shared_bytes(replica: replicas.Replica) -> int:
    """Memory of the front's file for bodies."""
    folder = pathlib.Path(f"/proc/{replica.process.pid}/fd")
    found = [link for link in folder.iterdir() if "cortex-bodies" in os.readlink(link)]
    return sum(link.stat().st_blocks * 512 for link in found)
