"""Those who wait: what a reader who does not read costs the others, and how punctual a deadline is."""

import concurrent.futures
import http.client
import json
import socket
import statistics
import time

from tests.bench import rounds, serving
from tests.bench.rounds import Cell, Finding
from tests.bench.rows.throughput import Options, rate

# Until all buffers on the way to a reader who does not read are full; before both sides, as a machine that has paused
# is another one.
_PAUSE_SECONDS = 0.3


def stalled(options: Options) -> list[Finding]:
    """The stalled reader takes the first part of an endless answer and no more."""
    with serving.up("noop", {"cortex": serving.ours("mixed")}) as stage:
        port = stage.peers["cortex"].port

        def beside() -> Cell:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as reader:
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                body = b'{"endless": true}'
                head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                reader.sendall(head % len(body) + body)
                reader.recv(4096)
                return alone()

        def alone() -> Cell:
            time.sleep(_PAUSE_SECONDS)
            return stage.load("cortex", 16, options.seconds)

        cells = rounds.interleaved({"none": alone, "stalled": beside}, options.rounds)
    what = "predict rate with one stalled reader / none"
    return [Finding(what, ">= 0.98", "", "0.99", rate(cells, "stalled", "none"), rounds.told(cells))]


def deadline(options: Options) -> list[Finding]:
    """Queued behind a predict of 300 ms, with deadlines from 40 to 192 ms: how late is the 504?"""
    with serving.up("noop", {"cortex": serving.ours("mixed")}, warm=0) as stage:
        port = stage.peers["cortex"].port
        late = [_late(port) for _ in range(max(5, options.rounds))]
    worst = [statistics.quantiles(values, n=100)[98] for values in late]
    middle = statistics.median(value for values in late for value in values)
    what = "queued behind 300 ms: answer - deadline, p99 ms"
    return [Finding(what, "<= 10", "", "4", worst, f"median {middle:.2f} ms, {sum(map(len, late))} requests")]


def _late(port: int, count: int = 20) -> list[float]:
    """Milliseconds past the deadline of each."""
    with concurrent.futures.ThreadPoolExecutor(count + 1) as pool:
        ready = [pool.submit(_connected, port) for _ in range(count + 1)]
        first, *callers = [one.result() for one in ready]
        long = pool.submit(_ask, first, {"seconds": 0.3}, 0)
        time.sleep(0.02)  # for it to have begun
        waiting = [pool.submit(_ask, caller, {}, 40 + 8 * at) for at, caller in enumerate(callers)]
        took = [one.result() for one in waiting]
        assert long.result()[0] == 200
    assert {status for status, _ in took} == {504}, took
    return [seconds * 1e3 - (40 + 8 * at) for at, (_, seconds) in enumerate(took)]


def _connected(port: int) -> http.client.HTTPConnection:
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    caller.connect()
    return caller


def _ask(caller: http.client.HTTPConnection, value: dict[str, float], timeout_ms: int) -> tuple[int, float]:
    headers = {"content-type": "application/json"} | ({"x-request-timeout-ms": str(timeout_ms)} if timeout_ms else {})
    began = time.monotonic()
    caller.request("POST", "/", json.dumps(value), headers)
    answer = caller.getresponse()
    answer.read()
    took = time.monotonic() - began
    caller.close()
    return answer.status, took
