"""A deploy as callers see it: they move to the new replica when the old one asks them to, and lose nothing."""

import contextlib
import os
import pathlib
import signal
import threading

import httpx

from tests.runtime.replica import Replica, running, wait_for

SOURCE = """
class PythonPredictor:
    def predict(self, payload):
        return payload
"""
HANDOVERS = int(os.environ.get("HANDOVERS", "1"))  # by hand: 100


class Callers:
    """Threads that call the current replica on connections they keep for as long as they are not asked to close."""

    def __init__(self, first: Replica, count: int) -> None:
        self.current = first
        self.answered = 0
        self.lost: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        while not self._stop.is_set():
            with httpx.Client(verify=False) as client:
                self._keep_calling(client, f"http://127.0.0.1:{self.current.http_port}/")

    def _keep_calling(self, client: httpx.Client, url: str) -> None:
        while not self._stop.is_set():
            try:
                answer = client.post(url, content=b"x")
            except httpx.ConnectError:
                return  # nothing was sent; the gateway goes elsewhere as well
            except httpx.HTTPError as error:
                self.lost.append(repr(error))
                return
            if (answer.status_code, answer.text) != (200, "x"):
                self.lost.append(f"{answer.status_code} {answer.text}")
            self.answered += 1
            if answer.headers.get("connection") == "close":
                return

    def wait_for_more(self) -> None:
        before = self.answered
        wait_for(lambda: self.answered > before)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


def test_no_call_is_lost_from_replica_to_replica(tmp_path: pathlib.Path) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running(tmp_path / "0", SOURCE))
        callers = Callers(first, count=3)
        stack.callback(callers.stop)
        for number in range(1, HANDOVERS + 1):
            old = callers.current
            callers.current = stack.enter_context(running(tmp_path / str(number), SOURCE))
            old.process.send_signal(signal.SIGTERM)
            assert old.process.wait(10) == 0
            callers.wait_for_more()
        callers.stop()
    assert callers.lost == []
