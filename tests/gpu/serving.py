"""A model on the GPU under load: batches against single calls, a killed worker, a caller who leaves, large tensors."""

import array
import contextlib
import itertools
import json
import os
import random
import signal
import statistics
import time
from typing import Any

from tests.gpu import card, load
from tests.gpu.stand import Stand
from tests.gpu.starts import workers
from tests.runtime.replica import Replica, wait_for

_GPU: dict[str, Any] = {"compute": {"gpus": 1}}
_BATCHING: dict[str, Any] = {"serverSideBatching": {"maxBatchSize": 32, "batchInterval": "0.005s"}}
_ROUNDS = 3


def batching(stand: Stand) -> None:
    stand.prepare()
    requests = [load.post(body) for body in stand.requests()]
    with (
        stand.served("blocks", spec=_GPU) as single,
        stand.served("blocks", spec=_GPU, **_BATCHING) as batched,
    ):
        stand.expect_right(batched, "batched")
        for replica in (single, batched):
            load.load(replica.http_port, requests, 64, 1)  # each size of a batch finds its kernels once
        found: dict[str, list[load.Told]] = {"single": [], "batched": []}
        for _ in range(_ROUNDS):
            for name, replica in (("single", single), ("batched", batched)):
                found[name].append(load.load(replica.http_port, requests, 64, stand.seconds))
                stand.say(f"{name}, 64 clients: {found[name][-1]}")
        stand.say(f"sizes of batches: {batched.client.get('/info').json()['batching']}")
        alone = [load.load(replica.http_port, requests, 1, stand.seconds) for replica in (single, batched)]
        stand.say(f"one client: single {alone[0]}; batched {alone[1]}")
    ratio = statistics.median(b.rps / s.rps for s, b in zip(found["single"], found["batched"], strict=True))
    stand.expect(not any(told.failed for told in found["single"] + found["batched"]), "no request failed")
    stand.expect(ratio > 1 or not stand.on_gpu, f"batched / single: {ratio:.2f}")


def deaths(stand: Stand) -> None:
    """kill -9 of one of two workers under load."""
    stand.prepare()
    requests = [load.post(body) for body in stand.requests()]
    before = card.used() if stand.on_gpu else 0
    with stand.served("blocks", processesPerReplica=2, spec=_GPU) as replica:
        victim, sibling = workers(stand, replica)
        both = card.used() if stand.on_gpu else 0
        with load.running(replica.http_port, requests, 16, 3 * stand.seconds) as futures:
            wait_for(lambda: all(future.running() for future in futures))
            time.sleep(stand.seconds)  # the load goes on beside this
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            least = _least_used(stand, replica, victim, both)
            back = time.monotonic() - killed
            told = load.gathered(futures)
        stand.say(f"16 clients: {told}; two workers again after {back:.1f} s")
        stand.expect(set(told.failed) <= {"503 worker-died"} and sum(told.failed.values()) <= 16,
                     f"what failed was inside the victim, and is marked for another try: {told.failed}")  # fmt: skip
        now = workers(stand, replica)
        stand.expect(sibling in now and victim not in now, f"the successor answers: {[victim, sibling]} -> {now}")
        stand.expect_right(replica, "afterwards")
        stand.expect_on_gpu(now, "afterwards")
        if stand.on_gpu:
            worker = (both - before) / 2
            after = card.used()
            stand.expect(least < both - worker / 2, f"its memory was freed: {before} MiB before the start, {both} with "
                         f"two workers, {least} after the kill")  # fmt: skip
            stand.expect(after < both + worker / 2, f"{after} MiB with the successor")
    if stand.on_gpu:
        wait_for(lambda: card.used() < before + 50)
        stand.expect(True, f"{card.used()} MiB after the stop")


def _least_used(stand: Stand, replica: Replica, victim: int, both: int) -> int:
    """MiB, until the victim's successor serves."""
    seen = [both]

    def successor_serves() -> bool:
        seen.extend([card.used()] if stand.on_gpu else [])
        return len(replica.worker_pids) == 2 and victim not in replica.worker_pids

    wait_for(successor_serves, 60)
    return min(seen)


def streams(stand: Stand) -> None:
    """A caller who leaves after three tokens; nothing is computed for who is gone."""
    with stand.served("tokens", spec=_GPU, threadsPerProcess=2) as replica:
        with replica.client.stream("POST", "/", json={}, headers={"accept": "text/event-stream"}) as reply:
            tokens = list(itertools.islice((line for line in reply.iter_lines() if line.startswith("data:")), 3))
        left = time.monotonic()
        stand.say(f"read {tokens}")
        wait_for(lambda: replica.client.get("/").json()["closed"] == 1)
        seconds = time.monotonic() - left
        first = replica.client.get("/").json()
        time.sleep(0.5)
        stand.expect(replica.client.get("/").json() == first,
                     f"closed {seconds * 1e3:.0f} ms after the caller left, no step since: {first}")  # fmt: skip


def tensors(stand: Stand) -> None:
    """Binary tensors of the Open Inference Protocol."""
    values = array.array("f", (random.random() for _ in range(3 * 224 * 224)))
    with stand.served("tensor", spec=_GPU) as replica:
        several = array.array("f", [number for n in range(4) for number in (value + n for value in values)])
        name, shape, data = _infer(replica, several, 4, "DOUBLE")
        right = array.array("f", (2 * value for value in several)).tobytes()
        stand.expect((name, shape) == ("DOUBLE", [4, 3, 224, 224]) and data == right,
                     f"{len(data)} bytes of DOUBLE right, for 4 images")  # fmt: skip
        for output in ("MEAN", "DOUBLE"):
            request = load.post(*_request(values, 1, output), "/v2/models/demo/infer")
            load.load(replica.http_port, [request], 16, 1)
            told = load.load(replica.http_port, [request], 16, stand.seconds)
            stand.expect(not told.failed, f"602 kB in, {output} out, 16 clients: {told}")


def _request(values: "array.array[float]", images: int, output: str) -> tuple[bytes, str]:
    """Body and headers."""
    data = values.tobytes()
    image = {"name": "IMAGE", "shape": [images, 3, 224, 224], "datatype": "FP32"}
    told = {
        "inputs": [{**image, "parameters": {"binary_data_size": len(data)}}],
        "outputs": [{"name": output, "parameters": {"binary_data": True}}],
    }
    head = json.dumps(told).encode()
    return head + data, f"content-type: application/octet-stream\r\ninference-header-content-length: {len(head)}"


def _infer(replica: Replica, values: "array.array[float]", images: int, output: str) -> tuple[str, list[int], bytes]:
    body, headers = _request(values, images, output)
    told = dict(line.split(": ") for line in headers.split("\r\n"))
    reply = replica.client.post("/v2/models/demo/infer", content=body, headers=told).raise_for_status()
    length = int(reply.headers["inference-header-content-length"])
    found = json.loads(reply.content[:length])["outputs"][0]
    return found["name"], found["shape"], reply.content[length:]


def triton(stand: Stand) -> None:
    """A repository whose configs/gpu.pbtxt asks for a GPU. CORTEX_TRITON_HOME names the server, if there is one."""
    told: dict[str, Any] = {"type": "PREDICTOR_TYPE_TRITON", "path": "", "models": {"dir": "models"}}
    with stand.served("triton", spec=_GPU, **told) as replica:
        info = replica.client.get("/info").json()
        stand.say(f"engine {info['engine']} {info.get('engine_reason', '')}")
        config = replica.client.get("/v2/models/double/config").json()
        kind = "KIND_GPU" if stand.on_gpu else "KIND_CPU"
        stand.expect(config["instance_group"][0]["kind"] == kind, f"instances: {config['instance_group']}")
        ask = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2.5, 4]}]}
        outputs = {each["name"]: each["data"] for each in _asked(replica, ask)}
        stand.expect(outputs["y"] == [2, 5, 8] and stand.device in str(outputs["where"]), f"answers {outputs}")
        with contextlib.suppress(KeyError, ValueError):
            stand.expect_on_gpu([int(str(outputs["where"][0]).split()[-1])], "the model's process")
        request = load.post(json.dumps(ask).encode(), path="/v2/models/double/infer")
        told_load = load.load(replica.http_port, [request], 16, stand.seconds)
        stand.expect(not told_load.failed, f"16 clients: {told_load}")


def _asked(replica: Replica, ask: object) -> list[dict[str, Any]]:
    reply = replica.client.post("/v2/models/double/infer", json=ask)
    assert reply.status_code == 200, (reply.text, replica.lines()[-5:])
    outputs: list[dict[str, Any]] = reply.json()["outputs"]
    return outputs
