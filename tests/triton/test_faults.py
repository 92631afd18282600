"""kill -9 and SIGSTOP of Triton, of its stubs and of the embedded engine's hosts, under load."""

import collections
import contextlib
import os
import pathlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.runtime import replica
from tests.triton import replicas
from tests.triton.test_frameworks import make

CALLERS = 4


class Load:
    """Callers of one model, until they are stopped. What went wrong is counted by status."""

    def __init__(self, api: replica.Replica, model: str, ask: dict[str, Any]) -> None:
        self.statuses: collections.Counter[int] = collections.Counter()
        self._stop = threading.Event()
        self._url = f"http://127.0.0.1:{api.http_port}/v2/models/{model}/infer"
        self._ask = ask
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]

    def _run(self) -> None:
        with httpx.Client(timeout=20, verify=False) as client:
            while not self._stop.is_set():
                self.statuses[client.post(self._url, json=self._ask).status_code] += 1

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        for thread in self._threads:
            thread.start()
        try:
            replica.wait_for(lambda: self.statuses[200] > 20)
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


DOUBLE = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}
TEXT = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}


FILE = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


def pid(api: replica.Replica, model: str) -> int:
    found: int = replica.wait_for(
        lambda: next((each["pid"] for each in api.state["workers"] if each["model"] == model and each["pid"]), 0)
    )
    return found


def is_ready(api: replica.Replica) -> bool:
    return api.client.get("/healthz/ready").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize(
    ("engine", "victim"),
    [("triton", "double"), ("triton", ""), ("embedded", "double")],
    ids=["stub", "server", "embedded"],
)
def test_only_what_is_inside_fails_and_it_comes_back(
    engine: str, victim: str, number: int, tmp_path: pathlib.Path
) -> None:
    make(tmp_path / "project/models/file/1/model.onnx", 2)
    with replicas.serving(tmp_path, engine, ["double", "echo_text"]) as api:
        double, text, file = Load(api, "double", DOUBLE), Load(api, "echo_text", TEXT), Load(api, "file", FILE)
        with double.running(), text.running(), file.running():
            before = pid(api, victim)
            os.kill(before, number)
            began = time.monotonic()
            replica.wait_for(lambda: not is_ready(api))
            assert time.monotonic() - began < 1.0, "readiness"
            replica.wait_for(lambda: is_ready(api))
            answered = double.statuses[200], text.statuses[200]
            replica.wait_for(lambda: double.statuses[200] > answered[0] + 20 and text.statuses[200] > answered[1] + 20)
        assert double.failed <= CALLERS and set(double.statuses) <= {200, 503}
        # Siblings are untouched, unless the server itself is what died.
        for sibling in (text, file):
            assert sibling.failed <= (0 if victim else CALLERS), sibling.statuses
        replica.wait_for(lambda: pid(api, victim) != before)
        assert api.process.poll() is None
