"""Another caller, in a process of its own so that what the sender of spoiled requests computes is not in its times."""

import multiprocessing
import socket
import time
from multiprocessing.connection import Connection

from tests.fuzz import requests

_PACE_SECONDS = 0.002
_SECONDS = 30.0

Times = tuple[list[float], int]  # seconds of each request, and how many failed


class Other:
    """Sends well-formed requests at an even pace from `start` to `stop`."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_send, args=(port, theirs), daemon=True)
        self._process.start()
        self.take()

    def take(self) -> Times:
        """Those since the last time."""
        self._pipe.send(True)
        found: Times = self._pipe.recv()
        return found

    def stop(self) -> None:
        self._pipe.send(False)
        self._process.join(_SECONDS)


def _send(port: int, pipe: "Connection[Times, bool]") -> None:
    data = requests.plain()
    times: list[float] = []
    failed = 0
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as sock:
        while True:
            if pipe.poll(_PACE_SECONDS):
                if not pipe.recv():
                    return
                pipe.send((times, failed))
                times, failed = [], 0
            began = time.perf_counter()
            sock.sendall(data)
            failed += not sock.recv(65536).startswith(b"HTTP/1.1 200")
            times.append(time.perf_counter() - began)
