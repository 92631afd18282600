"""The Open Inference Protocol at a real replica: what the conformance suite does not ask of servers in general."""

import json
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from tests.runtime import replica as replicas

SERVICE = "inference.GRPCInferenceService"
LENGTH = {"inference-header-content-length": "300"}
SOURCE = """
import pathlib, time
import numpy as np

class HTTPException(Exception):
    status_code, detail = 422, "too blue"

class PythonPredictor:
    def predict(self, payload, headers):
        mode = int(payload["mode"].reshape(-1)[0])
        if mode == 0:
            return {"y": payload["x"] * 2, "of": np.array([payload.parameters.get("sequence_id", 0)])}
        if mode == 1:
            return ({"y": payload["x"] + step} for step in range(3))
        if mode == 2:
            return iter([{"y": payload["x"]}]).__class__ and ({"y": payload["x"]} for _ in range(1))
        if mode == 3:
            return {"y": np.array([float("nan")], dtype="f4")}
        if mode == 4:
            raise HTTPException()
        if mode == 5:
            raise RuntimeError("secret")
        if mode == 6:
            pathlib.Path("began").write_text("")
            try:
                while True:
                    time.sleep(0.01)
            finally:
                pathlib.Path("ended").write_text("")
        if mode == 7:
            return (self.break_off(payload["x"], step) for step in range(3))
        if mode == 8:
            return {"y": np.array([headers["x-colour"]])}
        if mode == 10:
            return ({"y": np.full((1 << 20,), 1.5, dtype="f4")} for _ in range(1))
        return "text"

    def break_off(self, x, step):
        if step == 1:
            raise RuntimeError("in the middle")
        return {"y": x}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[replicas.Replica]:
    folder = tmp_path_factory.mktemp("oip")
    token = folder / "token"
    token.write_text("sesame\n")
    config = {"grpcAddress": "free", "adminTokenFile": str(token)}
    with replicas.running(folder, SOURCE, config=config) as replica:
        yield replica


def request(mode: int, **more: Any) -> dict[str, Any]:
    inputs = [
        {"name": "mode", "datatype": "INT8", "shape": [1], "data": [mode]},
        {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2]},
    ]
    return {"inputs": inputs, **more}


def infer(replica: replicas.Replica, mode: int, action: str = "infer", **more: Any) -> httpx.Response:
    headers = {"x-colour": "red"}
    return replica.client.post(f"/v2/models/demo/{action}", json=request(mode, **more), headers=headers)


def message(mode: int, **more: Any) -> pb.ModelInferRequest:
    told = pb.ModelInferRequest(
        model_name="demo", raw_input_contents=[bytes([mode]), struct.pack("<2f", 1.5, 2)], **more
    )
    told.inputs.add(name="mode", datatype="INT8", shape=[1])
    told.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    return told


@pytest.fixture(scope="module")
def channel(served: replicas.Replica) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.grpc_address) as found:
        yield found


def call(channel: grpc.Channel, told: pb.ModelInferRequest, **options: Any) -> pb.ModelInferResponse:
    method: Any = channel.unary_unary(
        f"/{SERVICE}/ModelInfer", pb.ModelInferRequest.SerializeToString, pb.ModelInferResponse.FromString
    )
    answer: pb.ModelInferResponse = method(told, timeout=options.pop("timeout", 15), **options)
    return answer


def stream(channel: grpc.Channel, *told: pb.ModelInferRequest) -> list[pb.ModelStreamInferResponse]:
    method: Any = channel.stream_stream(
        f"/{SERVICE}/ModelStreamInfer", pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
    )
    return list(method(iter(told), timeout=15))


def events(response: httpx.Response) -> list[Any]:
    assert response.headers["content-type"] == "text/event-stream"
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]


def test_parameters_reach_the_predictor(served: replicas.Replica, channel: grpc.Channel) -> None:
    outputs = infer(served, 0, parameters={"sequence_id": 42}).json()["outputs"]
    assert [output["data"] for output in outputs] == [[3.0, 4.0], [42]]
    told = message(0)
    told.parameters["sequence_id"].int64_param = 43
    assert call(channel, told).raw_output_contents[1] == struct.pack("<q", 43)


def test_classes_are_refused_rather_than_left_out(served: replicas.Replica, channel: grpc.Channel) -> None:
    asked = infer(served, 0, outputs=[{"name": "y", "parameters": {"classification": 2}}])
    assert asked.status_code == 400 and "class_count" in asked.json()["error"]
    told = message(0)
    told.outputs.add(name="y").parameters["classification"].int64_param = 2
    with pytest.raises(grpc.RpcError, match="class_count") as caught:
        call(channel, told)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_generator_streams_over_every_door(served: replicas.Replica, channel: grpc.Channel) -> None:
    found = events(infer(served, 1, "infer_stream"))
    assert [event["outputs"][0]["data"] for event in found] == [[1.5, 2.0], [2.5, 3.0], [3.5, 4.0]]
    replies = stream(channel, message(1))
    assert [reply.infer_response.raw_output_contents[0] for reply in replies] == [
        struct.pack("<2f", 1.5 + step, 2 + step) for step in range(3)
    ]
    told = message(1)
    told.parameters["triton_enable_empty_final_response"].bool_param = True
    finals = [r.infer_response.parameters["triton_final_response"].bool_param for r in stream(channel, told)]
    assert finals == [False, False, False, True]


def test_unary_calls_take_a_generator_that_yields_once(served: replicas.Replica, channel: grpc.Channel) -> None:
    assert infer(served, 2).json()["outputs"][0]["data"] == [1.5, 2.0]
    assert call(channel, message(2)).raw_output_contents[0] == struct.pack("<2f", 1.5, 2)
    large = infer(served, 10, outputs=[{"name": "y", "parameters": {"binary_data": True}}])
    assert large.content.endswith(struct.pack("<f", 1.5) * (1 << 20))
    several = infer(served, 1)
    assert several.status_code == 400 and "generate_stream" in several.json()["error"]
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, message(1))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_that_breaks_off_says_so(served: replicas.Replica, channel: grpc.Channel) -> None:
    first, last = events(infer(served, 7, "infer_stream"))
    assert first["outputs"][0]["data"] == [1.5, 2.0] and "middle" in last["error"] and last["request_id"]
    replies = stream(channel, message(7), message(0))
    assert [bool(reply.error_message) for reply in replies] == [False, True, False]


def test_nan_is_for_binary_outputs_only(served: replicas.Replica, channel: grpc.Channel) -> None:
    refused = infer(served, 3)
    assert refused.status_code == 406 and "ask for it as binary data" in refused.json()["error"]
    binary = infer(served, 3, parameters={"binary_data_output": True})
    assert binary.status_code == 200 and binary.content.endswith(b"\0\0\xc0\x7f")
    assert call(channel, message(3)).raw_output_contents[0] == b"\0\0\xc0\x7f"


def test_the_predictors_own_errors(served: replicas.Replica, channel: grpc.Channel) -> None:
    chosen, failed, other = (infer(served, mode) for mode in (4, 5, 9))
    assert (chosen.status_code, chosen.json()["error"]) == (422, "too blue")
    assert failed.status_code == 500 and "secret" not in failed.text
    assert failed.json()["request_id"] == failed.headers["x-request-id"]
    assert other.json()["outputs"][0]["datatype"] == "BYTES"
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, message(4))
    assert caught.value.details() == "too blue"
    served.wait_line("secret")


def test_the_predictor_sees_headers(served: replicas.Replica, channel: grpc.Channel) -> None:
    assert infer(served, 8).json()["outputs"][0]["data"] == ["red"]
    answer = call(channel, message(8), metadata=(("x-colour", "blue"),))
    assert answer.raw_output_contents[0] == b"\4\0\0\0blue"


@pytest.mark.parametrize("how", ["parameter", "header", "grpc", "grpc parameter", "grpc metadata"])
def test_every_deadline_ends_request_and_work(served: replicas.Replica, channel: grpc.Channel, how: str) -> None:
    project = served.folder / "project"
    (project / "ended").unlink(missing_ok=True)
    if how == "parameter":
        assert infer(served, 6, parameters={"timeout": 200_000}).status_code == 504
    elif how == "header":
        path, headers = "/v2/models/demo/infer", {"x-request-timeout-ms": "200"}
        assert served.client.post(path, json=request(6), headers=headers).status_code == 504
    else:
        told = message(6)
        told.parameters["timeout"].int64_param = 200_000 if how == "grpc parameter" else 0
        options: Any = {"grpc": {"timeout": 0.2}, "grpc metadata": {"metadata": [("x-request-timeout-ms", "200")]}}
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, told, **options.get(how, {}))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert how == "grpc" or "took longer than it may" in str(caught.value.details())
    replicas.wait_for((project / "ended").exists)


@pytest.mark.parametrize("how", ["http", "stream"])
def test_a_caller_who_leaves_frees_the_worker(served: replicas.Replica, channel: grpc.Channel, how: str) -> None:
    project = served.folder / "project"
    for name in ("began", "ended"):
        (project / name).unlink(missing_ok=True)
    if how == "http":
        body = json.dumps(request(6)).encode()
        with served.connect() as sock:
            sock.sendall(
                b"POST /v2/models/demo/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            replicas.wait_for((project / "began").exists)
    else:
        method: Any = channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )
        rpc = method(iter([message(6)]), timeout=15)
        replicas.wait_for((project / "began").exists)
        rpc.cancel()
    replicas.wait_for((project / "ended").exists)
    assert infer(served, 0).status_code == 200


def test_only_admins_touch_the_repository(served: replicas.Replica, channel: grpc.Channel) -> None:
    path = "/v2/repository/models/demo/"
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "sesame"}):
        assert served.client.post("/v2/repository/index", headers=headers).status_code == 403
        assert served.client.get("/v2/repository/index", headers=headers).status_code == 403
        assert served.client.post(path + "unload", headers=headers).status_code == 403
    admin = {"authorization": "Bearer sesame"}
    assert served.client.post("/v2/repository/index", headers=admin).json()[0]["name"] == "demo"
    unload = served.client.post(path + "unload", headers=admin)
    assert unload.status_code == 400 and "delete the API" in unload.json()["error"]
    assert served.client.post(path + "load", headers=admin).status_code == 200
    other = served.client.post("/v2/repository/models/other/load", headers=admin)
    assert other.status_code == 404 and other.json()["error"].startswith("failed to load 'other'")
    asked = {
        "RepositoryModelLoad": pb.RepositoryModelLoadRequest(model_name="demo").SerializeToString(),
        "RepositoryIndex": b"",
    }
    for name, data in asked.items():
        method: Any = channel.unary_unary(f"/{SERVICE}/{name}")
        method(data, metadata=(("authorization", "Bearer sesame"),), timeout=15)
        with pytest.raises(grpc.RpcError) as caught:
            method(data, timeout=15)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_what_tritons_examples_begin_and_end_with(served: replicas.Replica, channel: grpc.Channel) -> None:
    """They give up memory of a GPU before they register any, and ask for a model that is not there."""
    assert served.client.post("/v2/cudasharedmemory/unregister").json() == {}
    assert served.client.post("/v2/cudasharedmemory/region/r/unregister").json() == {}
    assert served.client.get("/v2/cudasharedmemory/status").json() == []
    assert served.client.post("/v2/cudasharedmemory/region/r/register", json={}).status_code == 501
    unknown = served.client.post("/v2/models/nope/infer", json=request(0))
    assert unknown.status_code == 404 and unknown.json()["error"].startswith("Request for unknown model: ")
    metadata: Any = channel.unary_unary(f"/{SERVICE}/ModelMetadata")
    with pytest.raises(grpc.RpcError) as caught:
        metadata(pb.ModelMetadataRequest(name="nope").SerializeToString())
    assert str(caught.value.details()).startswith("Request for unknown model: ")


def test_statistics_count_by_outcome(served: replicas.Replica) -> None:
    def counts() -> tuple[int, int]:
        told = served.client.get("/v2/models/demo/stats").json()["model_stats"][0]["inference_stats"]
        return told["success"]["count"], told["fail"]["count"]

    before = counts()
    infer(served, 0)
    infer(served, 5)
    infer(served, 0, "infer_stream")
    assert counts() == (before[0] + 2, before[1] + 1)


def test_reflection_and_health_know_the_service(channel: grpc.Channel) -> None:
    health_stub: Any = health_pb2_grpc.HealthStub(channel)
    health = health_stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=15)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="cortex.runtime.v1.PredictionService"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Service"),
    ]
    listed, ours, other, missing = stub.ServerReflectionInfo(iter(asked), timeout=15)
    assert SERVICE in [service.name for service in listed.list_services_response.service]
    assert ours.file_descriptor_response.file_descriptor_proto and other.file_descriptor_response.file_descriptor_proto
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_the_streams_of_a_predictor_that_declares_nothing(tmp_path: pathlib.Path) -> None:
    source = """
    class PythonPredictor:
        def __init__(self, config): pass
        async def predict(self, payload):
            if payload.get("stream"):
                return self.words(payload["text"])
            return {"length": len(payload["text"])}
        async def words(self, text):
            for word in text.split():
                yield {"word": word}
    """
    with replicas.running(tmp_path, source) as replica:
        ask = replica.client.post
        path = "/v2/models/demo/"
        answer = ask(path + "generate", json={"text": "a b c"}).json()
        assert answer == {"model_name": "demo", "model_version": "1", "length": 5}
        found = events(ask(path + "generate_stream", json={"text": "a b", "stream": True}))
        assert found == [{"word": "a"}, {"word": "b"}]
        assert events(ask(path + "generate_stream", json={"text": "a b"})) == [{"length": 3}]
        assert ask(path + "generate", json={"text": "one", "stream": True}).json()["word"] == "one"
        assert ask(path + "generate", json={"text": "a b", "stream": True}).status_code == 400
        metadata = replica.client.get(path).json()
        assert metadata["inputs"] == [] and metadata["platform"] == "cortex_python"


def test_cortex_yaml_declares_tensors(tmp_path: pathlib.Path) -> None:
    source = "class PythonPredictor:\n    def predict(self, payload):\n        return payload['x']\n"
    predictor = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP16", "shape": [-1, 2]}],
    }
    with replicas.running(tmp_path, source, predictor=predictor) as replica:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, 1]]}
        output = replica.client.post("/v2/models/demo/infer", json={"inputs": [tensor]}).json()["outputs"][0]
        assert output == {"name": "y", "datatype": "FP16", "shape": [1, 2], "data": [0.5, 1.0]}
        wrong = replica.client.post("/v2/models/demo/infer", json={"inputs": [dict(tensor, datatype="FP64")]})
        assert wrong.status_code == 400


def test_large_bodies_and_slow_senders_are_bounded(tmp_path: pathlib.Path) -> None:
    source = "class PythonPredictor:\n    def predict(self, payload):\n        return payload['x'][:1]\n"
    limit = 1_000_000
    spec = {"networking": {"maxRequestBytes": str(limit)}}
    with replicas.running(tmp_path, source, spec=spec, config={"grpcAddress": "free"}) as replica:

        def send(size: int) -> httpx.Response:
            """A whole request of `size` bytes: the JSON is padded, so that all the rest is the tensor."""
            count = size - 300
            tensor = {"name": "x", "datatype": "UINT8", "shape": [count], "parameters": {"binary_data_size": count}}
            head = json.dumps({"inputs": [tensor]}).encode().ljust(300)
            return replica.client.post("/v2/models/demo/infer", content=head + bytes(count), headers=LENGTH)

        assert send(limit).json()["outputs"][0]["data"] == [0]
        assert send(limit - 1).status_code == 200 and send(limit + 1).status_code == 413
        slow = [replica.connect() for _ in range(200)]
        for sock in slow:  # each promises a body and sends a part of it
            sock.sendall(b"POST /v2/models/demo/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n{")
        assert [send(1000).status_code for _ in range(50)] == [200] * 50
        for sock in slow:
            sock.close()
        with grpc.insecure_channel(replica.grpc_address) as channel:
            told = pb.ModelInferRequest(model_name="demo", raw_input_contents=[bytes(limit)])
            told.inputs.add(name="x", datatype="UINT8", shape=[limit])
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, told)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_call_that_the_gateway_made_http_of_is_answered_as_grpc(served: replicas.Replica) -> None:
    data = message(0).SerializeToString()
    frame = struct.pack(">BI", 0, len(data)) + data
    headers = {"content-type": "application/grpc", "x-request-id": "mine", "x-envoy-attempt-count": "1"}
    answer = served.client.post(f"/{SERVICE}/ModelInfer", content=frame, headers=headers)
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "mine")
    assert pb.ModelInferResponse.FromString(answer.content[5:]).raw_output_contents[0] == struct.pack("<2f", 3, 4)
    region = pb.SystemSharedMemoryStatusRequest().SerializeToString()
    frame = struct.pack(">BI", 0, len(region)) + region
    refused = served.client.post(f"/{SERVICE}/SystemSharedMemoryStatus", content=frame, headers=headers)
    assert refused.headers["grpc-status"] == str(grpc.StatusCode.PERMISSION_DENIED.value[0])


def test_a_worker_that_dies_is_a_503_that_may_be_repeated(tmp_path: pathlib.Path) -> None:
    source = "import os\nclass PythonPredictor:\n    def predict(self, payload):\n        os.abort()\n"
    with replicas.running(tmp_path, source, config={"grpcAddress": "free"}) as replica:
        tensor = {"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}
        answer = replica.client.post("/v2/models/demo/infer", json={"inputs": [tensor]})
        assert answer.status_code == 503
        assert (answer.headers["x-cortex-retry"], answer.headers["retry-after"]) == ("worker-died", "1")
