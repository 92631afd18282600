"""Items of the list in docs/reference/hostile-input.md that no other test has."""

import contextlib
import json
import pathlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2 as predict_pb
from tests.conformance import oip_model
from tests.runtime import replica as replicas

LIMIT = 64 * 1024 * 1024  # where the API says nothing
OURS = ("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DATA_LOSS")
RPCS = [method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
GARBAGE = [
    b"", b"\xff" * 9, b"\x0a\x7f", b"\x0a\x02\xff\xfe", bytes(64), b"\x2a\0" * 40_000, b"\x0a\xff\xff\xff\xff\x0f",
    b"\x1b" * 200, b"\xff" * 100_000,
]  # fmt: skip
SLOW = """
import time

class PythonPredictor:
    inputs = [{"name": "x", "datatype": "INT8", "shape": [1]}]

    def predict(self, payload):
        time.sleep(0.005)
        return {"y": payload["x"]}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[replicas.Replica]:
    with replicas.running(tmp_path_factory.mktemp("bad"), oip_model.TEXT, config={"grpcAddress": "free"}) as found:
        yield found


def code(served: replicas.Replica, path: str, data: bytes) -> tuple[str, str]:
    with grpc.insecure_channel(served.grpc_address) as channel:
        call: Any = channel.stream_stream(path) if path.endswith("StreamInfer") else channel.unary_unary(path)
        try:
            list(call(iter([data]), timeout=30)) if path.endswith("StreamInfer") else call(data, timeout=30)
        except grpc.RpcError as error:
            return str(error.code().name), str(error.details())
    return "OK", ""


@pytest.mark.parametrize("rpc", RPCS)
def test_garbage_is_nobodys_failure_but_the_callers(served: replicas.Replica, rpc: str) -> None:
    for data in GARBAGE:
        assert code(served, f"/inference.GRPCInferenceService/{rpc}", data)[0] not in OURS, data[:20]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e308])
def test_numbers_that_json_has_not_are_the_callers_mistake(served: replicas.Replica, number: float) -> None:
    value = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[struct_pb2.Value(number_value=number)]))
    for path in ("Predict", "PredictStream"):
        data = predict_pb.PredictRequest(json=value).SerializeToString()
        found, details = code(served, f"/cortex.runtime.v1.PredictionService/{path}", data)
        if path == "Predict":
            frame, headers = struct.pack(">BI", 0, len(data)) + data, {"content-type": "application/grpc"}
            bridged = served.client.post(
                "/cortex.runtime.v1.PredictionService/Predict", content=frame, headers=headers
            ).headers["grpc-status"]
            assert bridged == str(grpc.StatusCode[found].value[0])
        assert found == ("INVALID_ARGUMENT" if number != 1e308 else "INTERNAL"), details  # its predictor wants tensors


@pytest.mark.parametrize("text", ["\0", "a\0b", "\0" * 300])
def test_null_characters(served: replicas.Replica, text: str) -> None:
    inputs = [
        {"name": "TEXT", "datatype": "BYTES", "shape": [1, 2], "data": [text, "x"]},
        {"name": "NUMBER", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]},
    ]
    answer = served.client.post("/v2/models/demo/infer", json={"id": text, "inputs": inputs})
    assert (answer.status_code, answer.json()["id"]) == (200, text)
    assert answer.json()["outputs"][0]["data"] == [text, "x"]
    inputs[0]["name"] = text
    assert served.client.post("/v2/models/demo/infer", json={"inputs": inputs}).status_code == 400
    assert served.client.post(f"/v2/models/{'%00' * len(text)}/infer", json={"inputs": inputs}).status_code == 404


@pytest.mark.parametrize("said", [0, 6, 2**31 - 1, 2**32 - 1])
def test_a_frame_of_another_length_than_it_says(served: replicas.Replica, said: int) -> None:
    for path in ("inference.GRPCInferenceService/ModelInfer", "cortex.runtime.v1.PredictionService/Predict"):
        answer = served.client.post(
            f"/{path}", content=struct.pack(">BI", 0, said) + b"\x0a\0\0", headers={"content-type": "application/grpc"}
        )
        assert answer.headers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])


def test_the_largest_body_and_one_byte_more(tmp_path: pathlib.Path) -> None:
    source = "class PythonPredictor:\n    def predict(self, payload):\n        return str(len(payload))\n"
    with replicas.running(tmp_path, source) as served:
        assert served.client.post("/", content=b"x").text == "1"
        body = bytes(LIMIT)
        assert served.client.post("/", content=body).text == str(LIMIT)
        assert served.client.post("/", content=body + b"x").status_code == 413
        pieces = (body[at : at + 2**20] for at in range(0, LIMIT, 2**20))
        assert served.client.post("/", content=pieces).text == str(LIMIT)  # in chunks, and no length
        with served.connect() as sock, contextlib.suppress(ConnectionError):
            sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            sock.sendall(b"%x\r\n%b\r\n1\r\nx\r\n" % (LIMIT, body))
            assert b" 413 " in replicas.read_all(sock).split(b"\r\n")[0]
        assert served.client.post("/", content=b"x").text == "1"


def test_half_of_the_callers_leave_at_random_and_every_call_is_counted_once(tmp_path: pathlib.Path) -> None:
    tensor = {"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}
    body = json.dumps({"inputs": [tensor]}).encode()
    data = b"POST /v2/models/demo/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    answered: list[bytes] = []
    replica: replicas.Replica

    def call(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(25):
            with replica.connect() as sock:
                sock.sendall(data)
                if chance.random() < 0.5:
                    sock.settimeout(chance.random() * 0.05 + 1e-4)
                with contextlib.suppress(TimeoutError):
                    answered.append(sock.recv(65536)[9:12])
                    continue
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", chance.randrange(2), 0))

    def counts() -> tuple[int, int]:
        [told] = replica.client.get("/v2/models/demo/stats").json()["model_stats"]
        stats = told["inference_stats"]
        return int(stats["success"]["count"]), int(stats["fail"]["count"])

    with replicas.running(tmp_path, SLOW) as replica:
        workers = replica.worker_pids
        threads = [threading.Thread(target=call, args=(seed,)) for seed in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        replicas.wait_for(lambda: sum(counts()) >= 400)
        succeeded, failed = counts()
        assert succeeded + failed == 400 and succeeded >= len(answered) and set(answered) == {b"200"}
        assert failed > 0, "nobody left before the answer"
        info = replica.client.get("/info").json()
        assert (info["in_flight"], info["queued"]) == (0, 0) and replica.worker_pids == workers
