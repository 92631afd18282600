"""Large JSON and large messages at a real replica: answered as small ones are, and read outside of the front."""

import json
import os
import pathlib
import signal
import struct
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2 as predict_pb
from tests.runtime import replica as replicas

SOURCE = """
class PythonPredictor:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}, {"name": "t", "datatype": "BYTES", "shape": [-1]}]

    def predict(self, payload):
        return {"x": payload["x"] + 1, "t": payload["t"]} if isinstance(payload, dict) else payload
"""
COUNT = 30_000
NESTED = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[%d,1],"data":[%b]}]}' % (
    700_000,
    b"[1]," * 699_999 + b"[1]",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[replicas.Replica]:
    with replicas.running(tmp_path_factory.mktemp("texts"), SOURCE, config={"grpcAddress": "free"}) as found:
        yield found


def cpu(pid: int) -> int:
    """Nanoseconds that all threads of a process had."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def request(**more: Any) -> dict[str, Any]:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [COUNT, 1], "data": [[0.5]] * COUNT},
        {"name": "t", "datatype": "BYTES", "shape": [COUNT], "data": ["é"] * COUNT},
    ]
    return {"id": "me", "inputs": inputs, **more}


def unary(served: replicas.Replica, path: str, message: Any, answer: Any) -> Any:
    with grpc.insecure_channel(served.grpc_address) as channel:
        method: Any = channel.unary_unary(path, type(message).SerializeToString, answer.FromString)
        return method(message, timeout=30)


def test_the_answers_are_those_of_small_requests(served: replicas.Replica) -> None:
    path = "/v2/models/demo/infer"
    told = served.client.post(path, json=request()).json()
    outputs = {output["name"]: output["data"] for output in told["outputs"]}
    assert told["id"] == "me" and outputs == {"x": [1.5] * COUNT, "t": ["é"] * COUNT}
    binary = served.client.post(path, json=request(parameters={"binary_data_output": True}))
    size = int(binary.headers["inference-header-content-length"])
    assert binary.content[size : size + 4 * COUNT] == struct.pack("<f", 1.5) * COUNT
    generated = served.client.post(
        "/v2/models/demo/generate", json={"x": [[0.5]] * COUNT, "t": ["é"] * COUNT, "id": "me"}
    )
    assert (generated.json()["id"], generated.json()["x"]) == ("me", [1.5] * COUNT)
    streamed = served.client.post("/v2/models/demo/infer_stream", json=request())
    assert json.loads(streamed.text[6:])["outputs"] == told["outputs"]
    refused = served.client.post("/v2/models/demo/versions/1/infer", json=request(outputs=[{"name": "x"}] * 2))
    assert refused.status_code == 400 and "same name" in refused.json()["error"]


def test_so_are_those_over_grpc(served: replicas.Replica) -> None:
    asked = pb.ModelInferRequest(model_name="demo", id="me")
    asked.inputs.add(name="x", datatype="FP32", shape=[COUNT, 1]).contents.fp32_contents.extend([0.5] * COUNT)
    asked.inputs.add(name="t", datatype="BYTES", shape=[COUNT]).contents.bytes_contents.extend([b"x"] * COUNT)
    told = unary(served, "/inference.GRPCInferenceService/ModelInfer", asked, pb.ModelInferResponse)
    assert (told.id, told.raw_output_contents[0]) == ("me", struct.pack("<f", 1.5) * COUNT)
    value = struct_pb2.Value()
    value.list_value.extend(["é", 1.5] * COUNT)
    path, message = "/cortex.runtime.v1.PredictionService/Predict", predict_pb.PredictRequest(json=value)
    assert unary(served, path, message, predict_pb.PredictResponse).json == value
    data = message.SerializeToString()
    headers = {"content-type": "application/grpc"}
    bridged = served.client.post(path, content=struct.pack(">BI", 0, len(data)) + data, headers=headers)
    assert predict_pb.PredictResponse.FromString(bridged.content[5:]).json == value


def test_the_front_does_not_read_them(served: replicas.Replica) -> None:
    served.client.post("/v2/models/demo/infer", json=request())  # so that the process is there
    [reader] = replicas.readers(served)
    before = cpu(served.process.pid), cpu(reader)
    answer = served.client.post("/v2/models/demo/infer", content=NESTED)
    assert answer.status_code == 400 and "needs the input 't'" in answer.json()["error"]
    front, scribe = cpu(served.process.pid) - before[0], cpu(reader) - before[1]
    assert scribe > 4 * front, (front, scribe)


@pytest.mark.parametrize("action", ["infer", "generate"])
def test_a_deadline_comes_while_others_are_read(served: replicas.Replica, action: str) -> None:
    asked = request() if action == "infer" else {"x": [[0.5]] * COUNT, "t": ["é"] * COUNT}
    served.client.post("/v2/models/demo/infer", json=request())
    [reader] = replicas.readers(served)
    os.kill(reader, signal.SIGSTOP)
    try:
        headers = {"x-request-timeout-ms": "100"}
        told = served.client.post(f"/v2/models/demo/{action}", json=asked, headers=headers)
    finally:
        os.kill(reader, signal.SIGCONT)
    assert told.status_code == 504 and "longer than it may" in told.json()["error"]
    assert served.client.post(f"/v2/models/demo/{action}", json=asked).status_code == 200


def test_so_does_one_of_grpc_behind_the_gateway(served: replicas.Replica) -> None:
    value = struct_pb2.Value()
    value.list_value.extend([1.5] * COUNT)
    path, data = "/cortex.runtime.v1.PredictionService/Predict", predict_pb.PredictRequest(json=value)
    sent = struct.pack(">BI", 0, data.ByteSize()) + data.SerializeToString()
    headers = {"content-type": "application/grpc"}
    assert served.client.post(path, content=sent, headers=headers).status_code == 200
    [reader] = replicas.readers(served)
    os.kill(reader, signal.SIGSTOP)
    try:
        told = served.client.post(path, content=sent, headers={**headers, "grpc-timeout": "100m"})
    finally:
        os.kill(reader, signal.SIGCONT)
    assert told.headers["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_reader_that_ends_is_replaced_and_none_outlives_the_front(number: int, tmp_path: pathlib.Path) -> None:
    with replicas.running(tmp_path, SOURCE) as served:
        assert served.client.post("/v2/models/demo/infer", json=request()).status_code == 200
        [first] = replicas.readers(served)
        os.kill(first, number)
        assert served.client.post("/v2/models/demo/infer", json=request()).status_code == 200
        [second] = replicas.readers(served)
        assert second != first
        shared = pathlib.Path("/dev/shm")
        assert [*shared.glob(f"sem.cortex-{served.process.pid}-*")]
        for tracker in replicas.children(served, b"resource_tracker"):
            os.kill(tracker, signal.SIGKILL)  # as whoever kills all of the replica does
        served.process.kill()
        replicas.wait_for(lambda: not pathlib.Path(f"/proc/{second}/cmdline").exists() or not _line(second))
        replicas.wait_for(lambda: not [*shared.glob(f"*cortex-{served.process.pid}-*")])


def _line(pid: int) -> bytes:
    """Empty for one that has ended and nobody has waited for."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
