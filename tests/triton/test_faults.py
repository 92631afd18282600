"""kill -9 and SIGSTOP of Triton, of its stubs and of the embedded engine's hosts, under load."""

import collections
import contextlib
import os
import pathlib
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.runtime import replica
from tests.triton import replicas, stand
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


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_a_model_that_hangs_while_it_loads_holds_up_no_other(engine: str, tmp_path: pathlib.Path) -> None:
    root, begun, may_end = tmp_path / "live", tmp_path / "begun", tmp_path / "may_end"

    def add(name: str, first: str = "") -> None:
        shutil.copytree(stand.REPOSITORY / "double", tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        model = tmp_path / name / "1/model.py"
        model.write_text(first + model.read_text().partition('"""\n')[2])
        (tmp_path / name).rename(root / name)

    def answers(name: str) -> bool:
        return api.client.post(f"/v2/models/{name}/infer", json=DOUBLE).status_code == 200

    root.mkdir()
    add("double")
    models = {"dir": str(root), "poll_interval": "100ms"}
    with replicas.serving(tmp_path, engine, [], predictor={"models": models}) as api:
        add(
            "hangs",
            f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n"
            f"while not pathlib.Path({str(may_end)!r}).exists():\n    time.sleep(0.01)\n",
        )
        replica.wait_for(begun.exists)
        assert is_ready(api), "a model that never served is missed by nobody"
        add("other")
        replica.wait_for(lambda: answers("other"))
        before = pid(api, "double")
        os.kill(before, signal.SIGKILL)
        replica.wait_for(lambda: pid(api, "double") != before and answers("double") and is_ready(api))
        shutil.rmtree(root / "other")
        replica.wait_for(lambda: not answers("other"))
        may_end.touch()
        replica.wait_for(lambda: answers("hangs"))
