"""Generators as answers, async predictors, verbs of a Handler, and callers who leave."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from tests.runtime.replica import Replica, read_all, running, wait_for

SYNC = """
import time

class Handler:
    def handle_get(self, query_params):
        return self.endless() if "endless" in query_params else {"verb": "get"}

    def handle_delete(self):
        return "gone"

    def handle_post(self, payload, query_params):
        mode = query_params["mode"]
        if mode == "spin":
            print("spin began")
            try:
                while True:
                    sum(range(100))
            finally:
                print("spin ended")
        return getattr(self, mode)()

    def objects(self):
        for index in range(100):
            yield {"i": index}

    def named(self):
        yield "event: tick\\nid: 7\\ndata: one\\n\\n"
        yield {"two": 2}
        yield "three\\nlines"

    def text(self):
        yield "a"
        yield "b"

    def raw(self):
        yield b"x" * 1_000_000

    def broken(self):
        yield "begun"
        raise ValueError("in the middle")

    def unborn(self):
        raise ValueError("before the first")
        yield

    def empty(self):
        return
        yield

    def endless(self):
        try:
            index = 0
            while True:
                yield b"y" * 65536
                index += 1
                if index % 10 == 0:
                    print("yielded", index)
        finally:
            print("closed")
"""

ASYNC = SYNC.replace("def ", "async def ").replace("sum(range(100))", "await __import__('asyncio').sleep(0.01)")
ASYNC = ASYNC.replace("return getattr(self, mode)()", "return getattr(self, mode)()")


@pytest.fixture(scope="module", params=["sync", "async"])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    source = SYNC if request.param == "sync" else ASYNC
    with running(tmp_path_factory.mktemp("stream"), source) as found:
        yield found


def test_verbs(replica: Replica) -> None:
    assert replica.client.get("/").json() == {"verb": "get"}
    head = replica.client.head("/")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "14")
    assert replica.client.delete("/").text == "gone"
    assert replica.client.put("/").headers["allow"] == "DELETE, GET, POST, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("mode", "kind", "body"),
    [
        ("objects", "application/x-ndjson", "".join(f'{{"i":{i}}}\n' for i in range(100))),
        ("text", "text/plain; charset=utf-8", "ab"),
        ("raw", "application/octet-stream", "x" * 1_000_000),
        ("empty", "application/x-ndjson", ""),
    ],
)
def test_the_first_item_decides_the_content_type(replica: Replica, mode: str, kind: str, body: str) -> None:
    answer = replica.client.post("/", params={"mode": mode})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.text == body


def test_server_sent_events_for_who_accepts_them(replica: Replica) -> None:
    answer = replica.client.post("/", params={"mode": "objects"}, headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"] == "text/event-stream"
    events = answer.text.split("\n\n")[:-1]
    assert [json.loads(event.removeprefix("data: "))["i"] for event in events] == list(range(100))
    named = replica.client.post("/", params={"mode": "named"}, headers={"accept": "text/event-stream"})
    assert named.text == 'event: tick\nid: 7\ndata: one\n\ndata: {"two":2}\n\ndata: three\ndata: lines\n\n'
    broken = replica.raw(b"POST /?mode=broken HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")
    assert b"event: error" in broken


def test_a_plain_generator_beside_async_methods(tmp_path: pathlib.Path) -> None:
    source = """
    class Handler:
        async def handle_get(self):
            return 1

        def handle_post(self):
            yield "a"
            yield "b"
    """
    with running(tmp_path, source) as replica:
        assert replica.client.post("/").text == "ab"


def test_the_head_of_a_stream_that_never_ends(replica: Replica) -> None:
    closed = sum("closed" in line["message"] for line in replica.lines())
    with replica.connect() as sock:
        sock.sendall(b"HEAD /?endless HTTP/1.1\r\nhost: x\r\n\r\n")
        head = sock.recv(1000)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and head.endswith(b"\r\n\r\n")
        wait_for(lambda: sum("closed" in line["message"] for line in replica.lines()) > closed)
        # No part of a body came, and the connection is good for more.
        sock.sendall(b"DELETE / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_failure_before_the_first_item_is_a_500_and_after_it_a_cut(replica: Replica) -> None:
    assert replica.client.post("/", params={"mode": "unborn"}).status_code == 500
    raw = replica.raw(b"POST /?mode=broken HTTP/1.1\r\nhost: x\r\n\r\n")
    assert raw.endswith(b"5\r\nbegun\r\n")
    old = replica.raw(b"POST /?mode=text HTTP/1.0\r\n\r\n")
    assert old.endswith(b"\r\n\r\nab")


def test_a_slow_reader_holds_the_generator_and_a_leaver_closes_it(replica: Replica) -> None:
    with replica.connect() as sock:
        sock.sendall(b"POST /?mode=endless HTTP/1.1\r\nhost: x\r\n\r\n")
        sock.recv(65536)
        replica.wait_line("yielded 10")
        # Nothing is read, so what the generator yields stays bounded by the window and the sockets' buffers.
        counts: list[int] = []

        def settled() -> bool:
            lines = [line["message"] for line in replica.lines() if line["message"].startswith("yielded")]
            counts.append(len(lines))
            return len(counts) > 60 and counts[-1] == counts[-50]

        wait_for(settled)
        assert counts[-1] < 60
    replica.wait_line("closed")
    assert replica.client.get("/").status_code == 200


def test_a_leaver_stops_code_that_runs(replica: Replica) -> None:
    with replica.connect() as sock:
        sock.sendall(b"POST /?mode=spin HTTP/1.1\r\nhost: x\r\n\r\n")
        replica.wait_line("spin began")
    replica.wait_line("spin ended")
    assert replica.client.get("/").status_code == 200


def test_requests_on_one_connection_are_answered_in_order(replica: Replica) -> None:
    one = b"DELETE / HTTP/1.1\r\nhost: x\r\n\r\n"
    two = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"DELETE / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with replica.connect() as sock:
        sock.sendall((one + two) * 50 + last)
        data = read_all(sock)
    assert data.count(b"HTTP/1.1 200 OK") == 101
    assert [b"gone" in part for part in data.split(b"HTTP/1.1 ")[1:]] == [True, False] * 50 + [True]
