"""Streaming: how soon the first part is seen after it was made, and how many parts a second get through."""

import json
import re
import socket
import statistics
import time

from tests.bench import rounds, serving
from tests.bench.rounds import Finding
from tests.bench.rows.throughput import Options

_PARTS = 20_000
_MADE = re.compile(rb"made (\d+)")


class Caller:
    """A caller on one connection that reads as fast as it can."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, value: dict[str, int]) -> bytes:
        """Returns what came first."""
        body = json.dumps(value).encode()
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
        self._sock.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        return self.more()

    def more(self) -> bytes:
        return self._sock.recv(1 << 20)

    def finish(self, data: bytes) -> None:
        while not data.endswith(b"0\r\n\r\n"):
            data = data[-16:] + self.more()

    def close(self) -> None:
        self._sock.close()


def streaming(options: Options) -> list[Finding]:
    sse = {
        "venv": "raw",
        "start": f"{{bin}}/python {serving.APPS / 'sse.py'}",
        "env": {"BENCH_CHUNKS": str(_PARTS)},
        "proto": "generic",
    }
    quiet = {"noop": serving.ours("noop")}
    with serving.up("noop", quiet) as still, serving.started({"cortex": serving.ours("stream"), "sse": sse}) as ports:
        measures = {
            "noop": lambda: _noop(still.peers["noop"].port),
            "first": lambda: _first(ports["cortex"]),
            "ours": lambda: _rate(ports["cortex"]),
            "bare": lambda: _rate(ports["sse"]),
        }
        found = rounds.interleaved(measures, options.rounds)
    middle = {name: statistics.median(values) for name, values in found.items()}
    first = f"first {middle['first']:.0f} us, noop p50 {middle['noop']:.0f} us"
    rate = f"cortex {middle['ours']:.0f}/s, bare {middle['bare']:.0f}/s"
    early, many = rounds.ratios(found["first"], found["noop"]), rounds.ratios(found["ours"], found["bare"])
    return [
        Finding("streaming: (first part seen - made) / noop p50", "<= 1.0", "", "0.7", early, first),
        Finding("streaming: parts a second / bare asyncio SSE", ">= 0.5", "", "0.6", many, rate),
    ]


def _noop(port: int, count: int = 500) -> float:
    """Median microseconds of a round trip by the same caller."""
    caller, took = Caller(port), []
    for _ in range(count):
        began = time.monotonic_ns()
        caller.ask({"x": 1})
        took.append((time.monotonic_ns() - began) / 1e3)
    caller.close()
    return statistics.median(took)


def _first(port: int, count: int = 500) -> float:
    """Median microseconds from the predictor's first yield to its arrival at the caller. One clock serves both."""
    caller, took = Caller(port), []
    for _ in range(count):
        data = caller.ask({"parts": 1})
        seen = time.monotonic_ns()
        while (made := _MADE.search(data)) is None:  # the head came by itself
            data += caller.more()
            seen = time.monotonic_ns()
        took.append((seen - int(made[1])) / 1e3)
        caller.finish(data)
    caller.close()
    return statistics.median(took)


def _rate(port: int) -> float:
    caller = Caller(port)
    began = time.monotonic()
    caller.finish(caller.ask({"parts": _PARTS}))
    took = time.monotonic() - began
    caller.close()
    return _PARTS / took
