"""What a request got stays until it is over and not a moment longer, however requests are run."""

import pathlib
from typing import Any

import httpx
import pytest

from tests.runtime import replica as replicas

MODEL = """
import asyncio, pathlib

class Model(str):
    pass

def load(path):
    return Model((pathlib.Path(path) / "weights.txt").read_text())
"""
PLAIN = """
class PythonPredictor:
    def __init__(self, config, python_client):
        self.client = python_client

    def load_model(self, path):
        return load(path)

    def predict(self, payload):
        return self.client.get_model(payload["model"])[:1]
"""
BATCHED = (
    PLAIN.replace('return self.client.get_model(payload["model"])[:1]', "return [self.one(each) for each in payload]")
    + """
    def one(self, payload):
        return self.client.get_model(payload["model"])[:1]
"""
)
ASYNC = PLAIN.replace("def predict", "async def predict").replace(
    'self.client.get_model(payload["model"])', '(await asyncio.to_thread(self.client.get_model, payload["model"]))'
)
ASYNC_BATCHED = BATCHED.replace("def predict", "async def predict")
STREAMED = PLAIN.replace("return self.client", "yield self.client")
BATCHING = {"maxBatchSize": 4, "batchInterval": "0.01s"}


@pytest.mark.parametrize(
    ("source", "predictor"),
    [
        (PLAIN, {}),
        (BATCHED, {"serverSideBatching": BATCHING}),
        (ASYNC, {}),
        (ASYNC_BATCHED, {"serverSideBatching": BATCHING}),
        (STREAMED, {}),
    ],
    ids=["plain", "batched", "async", "async-batched", "streamed"],
)
def test_room_for_one_is_enough_for_requests_in_turn(
    tmp_path: pathlib.Path, source: str, predictor: dict[str, Any]
) -> None:
    """A pin that outlived its request would keep the next model out."""
    for name in "ab":
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "weights.txt").write_text(name * 100)
    models = {"dir": str(tmp_path / "models"), "memory_budget": 150}
    with replicas.running(tmp_path, MODEL + source, predictor={**predictor, "models": models}) as replica:
        for name in "abab":
            answer = replica.client.post("/", json={"model": name})
            assert (answer.status_code, answer.text) == (200, name), answer.text


def test_a_load_waits_for_room_and_ends_with_its_caller(tmp_path: pathlib.Path) -> None:
    source = MODEL + PLAIN.replace(
        'return self.client.get_model(payload["model"])[:1]',
        'found = self.client.get_model(payload["model"])\n        import time\n'
        '        if payload.get("wait"): pathlib.Path(payload["wait"] + ".held").touch()\n'
        '        while payload.get("wait") and not pathlib.Path(payload["wait"]).exists(): time.sleep(0.01)\n'
        "        return found[:1]",
    )
    for name in "ab":
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "weights.txt").write_text(name * 100)
    models, gate = {"dir": str(tmp_path / "models"), "memory_budget": 150}, tmp_path / "gate"
    with replicas.running(tmp_path, source, predictor={"models": models, "threadsPerProcess": 3}) as replica:
        import threading

        holder = threading.Thread(
            target=replica.client.post, args=("/",), kwargs={"json": {"model": "a", "wait": str(gate)}}
        )
        holder.start()
        replicas.wait_for(lambda: (tmp_path / "gate.held").exists())
        with httpx.Client(base_url=str(replica.client.base_url), verify=False) as client:
            late = client.post("/", json={"model": "b"}, headers={"x-request-timeout-ms": "700"})
            assert late.status_code == 504
            gate.touch()
            holder.join()
            assert client.post("/", json={"model": "b"}).text == "b"
