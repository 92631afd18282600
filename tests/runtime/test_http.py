"""HTTP as hostile or sloppy callers speak it, on raw sockets."""

import contextlib
import pathlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.runtime.replica import Replica, read_all, running, wait_for

SOURCE = """
class PythonPredictor:
    def predict(self, payload):
        return str(len(payload))
"""
LIMIT = 200_000


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    spec = {"networking": {"maxRequestBytes": str(LIMIT)}}
    with running(tmp_path_factory.mktemp("http"), SOURCE, spec=spec) as found:
        yield found


def status(data: bytes) -> int:
    return int(data.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\na: \x00\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"a%d: b\r\n" % i for i in range(9000)) + b"\r\n", 431),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\nexpect: miracles\r\ncontent-length: 1\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n", 415),
        (b"POST / HTTP/1.1\r\nhost: x\r\nx-request-timeout-ms: soon\r\nconnection: close\r\n\r\n", 400),
    ],
)
def test_what_is_refused(replica: Replica, data: bytes, expected: int) -> None:
    answer = replica.raw(data)
    assert status(answer) == expected
    assert b'{"error":"' in answer
    assert replica.client.post("/", content=b"abc").text == "3"


def test_an_encoded_body_is_named_and_a_plain_one_may_say_so(replica: Replica) -> None:
    refused = replica.client.post("/", content=b"abc", headers={"content-encoding": "br"})
    assert refused.status_code == 415 and "'br'" in refused.json()["error"]
    assert replica.client.post("/", content=b"abc", headers={"content-encoding": "Identity"}).text == "3"


CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"


@pytest.mark.parametrize("trailers", [b"a: b\r\n" * 5000, b"a: " + b"b" * 30_000], ids=["many", "long"])
def test_trailers_are_as_limited_as_headers(replica: Replica, trailers: bytes) -> None:
    with replica.connect() as sock:
        sock.sendall(CHUNKED + b"0\r\nx: y\r\n\r\n")
        assert status(sock.recv(1000)) == 200
        sock.sendall(CHUNKED + b"0\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                sock.sendall(trailers)
        assert status(read_all(sock)) == 431


def test_a_body_of_many_small_chunks_is_no_head(replica: Replica) -> None:
    with replica.connect() as sock:
        sock.sendall(CHUNKED)
        for _ in range(20):
            sock.sendall(b"1;%b\r\nx\r\n" % (b"e" * 5000))
        sock.sendall(b"0\r\n\r\n")
        answer = sock.recv(1000)
        assert status(answer) == 200 and answer.endswith(b"\r\n\r\n23")


def test_a_body_above_the_limit_is_refused_while_it_arrives(replica: Replica) -> None:
    with replica.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n%b\r\n" % (50_000, b"x" * 50_000)
        for _ in range(5):
            sock.sendall(chunk)
        # The answer comes although the body has no end, and is not lost to a reset.
        assert status(read_all(sock)) == 413


def test_a_header_that_never_ends_is_refused(replica: Replica) -> None:
    with replica.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\na: ")
        for _ in range(20):
            try:
                sock.sendall(b"b" * 20_000)
            except OSError:
                break
        assert status(read_all(sock)) == 431


def test_chunks_extensions_trailers_and_continue(replica: Replica) -> None:
    with replica.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"3;name=value\r\nabc\r\n2\r\nde\r\n0\r\ntrailer: x\r\n\r\n")
        assert sock.recv(1000).endswith(b"\r\n\r\n5")
        # The connection is still good, byte by byte.
        for byte in b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\nabcd":
            sock.sendall(bytes([byte]))
        assert read_all(sock).endswith(b"\r\n\r\n4")


def test_an_upgrade_is_ignored_and_old_http_is_closed(replica: Replica) -> None:
    upgrade = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c\r\ncontent-length: 0\r\n\r\n"
    with replica.connect() as sock:
        sock.sendall(upgrade)
        assert status(sock.recv(1000)) == 200
        sock.sendall(b"POST http://host/?a=b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx")
        assert read_all(sock).endswith(b"\r\n\r\n1")
    answer = replica.raw(b"POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\nab")
    assert b"connection: close" in answer and answer.endswith(b"\r\n\r\n2")


def test_a_page_from_elsewhere_may_ask(replica: Replica) -> None:
    asks = {"origin": "https://page", "access-control-request-method": "POST"}
    asks["access-control-request-headers"] = "authorization,x-mine"
    leave = replica.client.options("/", headers=asks)
    assert (leave.status_code, leave.content) == (204, b"")
    assert leave.headers["access-control-allow-origin"] == "*"
    assert leave.headers["access-control-allow-headers"] == "authorization,x-mine"
    assert "POST" in leave.headers["access-control-allow-methods"]
    for path, expected in (("/", 200), ("/elsewhere", 404)):
        answer = replica.client.post(path, headers={"origin": "null"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (expected, "*")
        assert answer.headers["access-control-expose-headers"] == "x-request-id"
    # An OPTIONS that is no preflight, and requests that are not from a page.
    assert replica.client.options("/", headers={"origin": "https://page"}).headers["allow"] == "POST, OPTIONS"
    assert "access-control-allow-origin" not in replica.client.post("/").headers


def test_large_bodies_both_ways(tmp_path: pathlib.Path) -> None:
    source = "class PythonPredictor:\n    def predict(self, payload):\n        return payload\n"
    body = bytes(range(256)) * 65536
    with running(tmp_path, source) as replica:
        answer = replica.client.post("/", content=body)
        assert answer.content == body


def test_many_idle_connections_do_not_matter(replica: Replica) -> None:
    socks: list[socket.socket] = []
    try:
        for _ in range(400):
            socks.append(replica.connect())
        assert replica.client.post("/", content=b"abc").text == "3"
    finally:
        for sock in socks:
            sock.close()


def test_callers_side_by_side(replica: Replica) -> None:
    wrong: list[str] = []

    def call(size: int) -> None:
        for _ in range(20):
            if (text := replica.client.post("/", content=b"x" * size).text) != str(size):
                wrong.append(text)

    threads = [threading.Thread(target=call, args=(size,)) for size in range(1, 30)]
    for thread in threads:
        thread.start()
    wait_for(lambda: not any(thread.is_alive() for thread in threads))
    assert wrong == []
