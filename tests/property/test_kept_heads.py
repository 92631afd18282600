"""A head that is known by its bytes means what the parser would have found in it."""

import itertools
import random
import types
from typing import Any

import pytest

from runtime import bodies, http_heads
from runtime.http_exchange import Exchange
from runtime.http_protocol import Connection

IDS = (
    b"4c145c3c-3f20-493b-81ae-dfe6f353ad42", b"a", b"7", b"-", b"", b"a b", b" a", b"a ", b"a\tb", b"\xc3\xa9", b"a:b",
    b"x" * 200, b"x" * 201, b"x\x00y", b"a\nb", b"a\r\n b",
)  # fmt: skip
TRACES = (
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
    b"rubbish",
    b"",
)
SIZES = (b"2", b"02", b"3", b"1", b"0", b"", b"-2", b"+2", b"2 ", b"x")
TIMEOUTS = (b"100m", b"5S", b"5 S", b"99999999999S", b"", b"-1m")
NAMES = (
    b"grpc-timeout",
    b"x-request-id",
    b"X-Request-Id",
    b"traceparent",
    b"Traceparent",
    b"x-other",
    b"xx-request-id",
    b"accept",
)


class Door:
    """Takes what a connection has understood, and answers all of it."""

    def __init__(self, heads: http_heads.Heads) -> None:
        self.heads = heads
        self.found: list[Any] = []
        self.draining, self.date, self.max_body, self.time = False, b"now", 1000, 0.0
        self.bodies, self.slab, self.wants_headers = bodies.Bodies(1000), None, True
        self.connections: set[Connection] = set()
        self._numbers = itertools.count()

    def now(self) -> float:
        return 1.0

    def new_request_id(self) -> bytes:
        return b"made"

    def takes_encoded(self, path: bytes) -> bool:
        return False

    def refused(self, status: int, began: float) -> None:
        """Counted by the answer that is written."""

    def cancel(self, exchange: Exchange) -> None:
        """There is nothing to end."""

    def handle(self, exchange: Exchange) -> None:
        told = [exchange.header(name) for name in (b"grpc-timeout", b"accept", b"content-length", b"x-request-id")]
        self.found.append((exchange.fields, exchange.body, exchange.priority, exchange.attempt, told))
        exchange.reply(200, [], b"")


def understood(sent: bytes, heads: http_heads.Heads) -> tuple[list[Any], bytes]:
    """What reaches the predictor of these bytes, and what is written back."""
    door, written = Door(heads), list[bytes]()
    transport = types.SimpleNamespace(
        write=written.append, is_closing=lambda: False, close=lambda: None, can_write_eof=lambda: False,
        set_write_buffer_limits=lambda **limits: None, get_extra_info=lambda name: None,
        pause_reading=lambda: None, resume_reading=lambda: None,
    )  # fmt: skip
    connection = Connection(door)  # type: ignore[arg-type]
    connection.connection_made(transport)
    connection.data_received(sent)
    return door.found, b"".join(written)


def request(dice: random.Random) -> bytes:
    lines = [b"POST /%s HTTP/1.1" % dice.choice((b"", b"?q=1")), b"host: x"]
    values = {b"traceparent": TRACES, b"grpc-timeout": TIMEOUTS}
    for name in dice.choices(NAMES, k=dice.randrange(4)):
        lines.insert(dice.randrange(1, len(lines) + 1), name + b": " + dice.choice(values.get(name.lower(), IDS)))
    size, name = (
        b"2" if dice.random() < 0.8 else dice.choice(SIZES),
        dice.choice((b"content-length", b"Content-Length")),
    )
    lines.insert(dice.randrange(1, len(lines) + 1), name + b": " + size)
    return b"\r\n".join(lines) + b"\r\n\r\n" + dice.choice((b"{}", b"{}", b"{}", b"", b"[1]"))


@pytest.mark.parametrize("seed", range(4))
def test_a_kept_head_is_understood_as_a_fresh_one(seed: int) -> None:
    dice, kept = random.Random(seed), http_heads.Heads()
    requests = [request(dice) for _ in range(3000)]
    for sent in requests:
        assert understood(sent, kept) == understood(sent, http_heads.Heads()), sent
    assert len(kept) > 20


@pytest.mark.parametrize(("name", "values"), [(b"x-request-id", (b"a", b"b")), (b"traceparent", TRACES[:2])])
def test_a_name_that_is_told_twice_is_the_last_of_them(name: bytes, values: tuple[bytes, bytes]) -> None:
    heads = http_heads.Heads()
    for first in values:
        sent = b"\r\n".join([b"GET / HTTP/1.1", name + b": " + first, name + b": " + values[0], b"", b""])
        assert understood(sent, heads) == understood(sent, http_heads.Heads())


def test_requests_that_differ_by_what_is_their_own_share_a_head() -> None:
    heads = http_heads.Heads()
    for number in range(100):
        body, told = b"x" * number, [b"POST / HTTP/1.1", b"host: x", b"x-request-id: id-%d" % number]
        told += [b"content-length: %d" % number, b"grpc-timeout: %dm" % (number + 1)]
        told.append(b"traceparent: 00-%032x-%016x-01" % (number + 1, number + 1))
        [(fields, read, _, _, own)], written = understood(b"\r\n".join(told) + b"\r\n\r\n" + body, heads)
        assert fields[4] == b"id-%d" % number and fields[5] == b"00-%032x-%016x-01" % (number + 1, number + 1)
        assert dict(zip(fields[6::2], fields[7::2], strict=True))[b"x-request-id"] == fields[4]
        assert own[0] == b"%dm" % (number + 1) and own[2] == b"%d" % number and read == body
        assert b"x-request-id: id-%d\r\n" % number in written
    assert len(heads) == 1


def test_no_kept_head_lets_a_large_body_by() -> None:
    """Beyond the limit of an API, or so large that it has to be put on the account of all bodies."""
    heads = http_heads.Heads()
    for size in (10, 10, 10, 1001, 100_000):
        sent = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
        found, written = understood(sent, heads)
        assert (len(found), written[:12]) == ((1, b"HTTP/1.1 200") if size == 10 else (0, b"HTTP/1.1 413"))
