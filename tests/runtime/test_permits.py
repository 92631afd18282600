"""What holds a permit and what does not: hooks around the predictor, large answers, slow readers, callbacks."""

import concurrent.futures
import contextlib
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runtime.replica import Replica, running, wait_for

SYNC = """
import pathlib, threading, time

HERE = pathlib.Path(".")

def wait(name):
    while not (HERE / name).exists():
        time.sleep(0.002)

class PythonPredictor:
    def pre(self, payload, query_params):
        if payload == "refuse me":
            raise RefusedError()
        if "pre" in query_params:
            print("pre began", query_params["pre"])
            wait(query_params["pre"])
        return {"prepared": payload}

    def predict(self, payload, query_params):
        print("predict began", payload["prepared"])
        if "predict" in query_params:
            wait(query_params["predict"])
        if "stream" in query_params:
            return self.items()
        return {**payload, "main": threading.current_thread() is threading.main_thread()}

    def items(self):
        for _ in range(200):
            yield b"y" * 65536

    def post(self, response, payload, query_params):
        if "post" in query_params:
            print("post began", query_params["post"])
            wait(query_params["post"])
        return {**response, "posted": payload["prepared"]}

    def post_predict(self, response, query_params):
        if "after" in query_params:
            print("after began", response["posted"])
            wait(query_params["after"])
            print("after ended", response["posted"])

class RefusedError(Exception):
    status_code, detail = 422, "not this"
"""
ASYNC = (
    SYNC.replace("    def ", "    async def ")
    .replace("def wait", "async def wait")
    .replace("time.sleep(", "await __import__('asyncio').sleep(")
    .replace("            wait(", "            await wait(")
)
# Plain hooks around an async method.
MIXED = SYNC.replace("    def predict", "    async def predict").replace(
    '            wait(query_params["predict"])',
    """            while not (HERE / query_params["predict"]).exists():
                await __import__('asyncio').sleep(0.002)""",
)
SOURCES = {"sync": SYNC, "async": ASYNC, "mixed": MIXED}


@pytest.fixture(params=list(SOURCES))
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    source = SOURCES[request.param]
    with running(tmp_path_factory.mktemp("permits"), source) as found:
        yield found


def go(replica: Replica, name: str) -> None:
    (replica.folder / "project" / name).touch()


@contextlib.contextmanager
def posting(replica: Replica, payload: str, **params: str) -> Iterator["concurrent.futures.Future[Any]"]:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(replica.client.post, "/", json=payload, params=params)


def ask(replica: Replica, payload: str) -> Any:
    answer = replica.client.post("/", json=payload)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_hooks_wrap_the_predictor_and_their_failures_are_answers(replica: Replica) -> None:
    assert ask(replica, "a") == {"prepared": "a", "main": True, "posted": "a"}
    refused = replica.client.post("/", json="refuse me")
    assert (refused.status_code, refused.json()["error"]) == (422, "not this")
    assert replica.client.post("/", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert ask(replica, "b")["posted"] == "b"


@pytest.mark.parametrize("hook", ["pre", "post", "after"])
def test_a_hook_that_waits_holds_no_permit(replica: Replica, hook: str) -> None:
    with posting(replica, "slow", **{hook: "go"}) as slow:
        replica.wait_line(f"{hook} began")
        assert [ask(replica, f"quick {n}")["prepared"] for n in range(3)] == ["quick 0", "quick 1", "quick 2"]
        go(replica, "go")
        assert slow.result().json()["posted"] == "slow"
    if hook == "after":
        replica.wait_line("after ended slow")


def test_no_answer_waits_for_what_follows_others(replica: Replica) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        names = [f"follows {n}" for n in range(8)]
        slow = [pool.submit(replica.client.post, "/", json=name, params={"after": "go"}) for name in names]
        assert [answer.result().json()["posted"] for answer in slow] == names
        replica.wait_line("after began")
        assert ask(replica, "quick")["posted"] == "quick"
        go(replica, "go")
        for name in names:
            replica.wait_line(f"after ended {name}")


def test_an_async_predictor_computes_for_no_more_than_it_has_threads(tmp_path: pathlib.Path) -> None:
    """Also of calls so short that some are sent to it ahead of time."""
    source = """
    import asyncio

    class PythonPredictor:
        inside = 0

        async def predict(self):
            self.inside += 1
            found = self.inside
            await asyncio.sleep(0)
            self.inside -= 1
            return found
    """
    with (
        running(tmp_path, source, predictor={"threadsPerProcess": 2}) as replica,
        concurrent.futures.ThreadPoolExecutor(32) as pool,
    ):
        found = list(pool.map(lambda _: replica.client.post("/").json(), range(600)))
    assert 1 <= min(found) <= max(found) <= 2


def test_payloads_are_prepared_while_the_only_permit_is_taken(replica: Replica) -> None:
    with posting(replica, "first", predict="first") as first, posting(replica, "second", pre="pre") as second:
        replica.wait_line("predict began first")
        replica.wait_line("pre began pre")
        go(replica, "pre")
        go(replica, "first")
        assert first.result().json()["posted"] == "first"
        assert second.result().json()["posted"] == "second"


def test_who_leaves_while_its_payload_is_prepared_is_never_predicted(replica: Replica) -> None:
    with posting(replica, "first", predict="first") as first:
        replica.wait_line("predict began first")
        with replica.connect() as sock:
            send(sock, "leaver", "pre=leaver")
            replica.wait_line("pre began leaver")
        # Whoever asks now is heard after the end of that connection.
        assert replica.client.get("/healthz/live").status_code == 200
        go(replica, "leaver")
        go(replica, "first")
        assert first.result().status_code == 200
    ask(replica, "last")
    wait_for(lambda: any("predict began last" in line["message"] for line in replica.lines()))
    assert not any("predict began leaver" in line["message"] for line in replica.lines())


def test_readers_who_stall_hold_no_permit(replica: Replica) -> None:
    with contextlib.ExitStack() as stack:
        stalled = []
        for n in range(8):
            sock = stack.enter_context(replica.connect())
            send(sock, f"stream {n}", "stream=1")
            replica.wait_line(f"predict began stream {n}")
            stalled.append(sock)
        # One worker with one permit, and eight streams in it that nobody reads.
        assert ask(replica, "quick")["main"] is True
        # Each is still there for its reader, with all it has.
        for sock in stalled[1:]:
            assert whole_body(sock) == 200 * 65536
    # The first one left without reading; nothing of it is left behind.
    assert ask(replica, "after them")["prepared"] == "after them"


def send(sock: socket.socket, payload: str, query: str) -> None:
    body = f'"{payload}"'.encode()
    head = f"POST /?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
    sock.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)


def whole_body(sock: socket.socket) -> int:
    """Bytes of the payload in a chunked answer that is read to its end."""
    data = bytearray()
    while part := sock.recv(1 << 20):
        data += part
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK") and body.endswith(b"0\r\n\r\n")
    return body.count(b"y")


LARGE = """
import time
class PythonPredictor:
    def predict(self, payload):
        return [[n, n] for n in range(payload)]
"""


def test_a_large_answer_is_encoded_without_the_permit_and_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("large"), LARGE) as replica:
        assert replica.client.post("/", json=5).json() == [[n, n] for n in range(5)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: replica.client.post("/", json=n), [100_000, 3, 50_000, 1] * 8))
        assert [len(answer.json()) for answer in answers] == [100_000, 3, 50_000, 1] * 8
