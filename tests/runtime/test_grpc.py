"""The gRPC door: the same predictor, the same meaning, canonical codes."""

import json
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from cortex.runtime.v1 import prediction_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2_grpc as pb_grpc
from tests.runtime.replica import running

SOURCE = """
import os, time

class HTTPException(Exception):
    status_code, detail = 404, "no such thing"

class PythonPredictor:
    def predict(self, payload, query_params, headers):
        mode = query_params.get("mode")
        if mode == "raise":
            raise ValueError("secret")
        if mode == "http":
            raise HTTPException()
        if mode == "die":
            os.abort()
        if mode == "stream":
            return (f"part {index} " for index in range(100))
        if mode == "sleep":
            while True:
                time.sleep(0.01)
        if mode == "text":
            return "setosa \u00fc"
        if isinstance(payload, bytes):
            return payload[::-1]
        return {"payload": payload, "header": headers.get("x-custom"), "kind": type(payload).__name__}
"""


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    spec = {"networking": {"maxRequestBytes": "100000"}}
    folder: pathlib.Path = tmp_path_factory.mktemp("grpc")
    replica_ = running(folder, SOURCE, spec=spec, config={"grpcAddress": "free"})
    with replica_ as replica, grpc.insecure_channel(replica.grpc_address) as found:
        # A replica that says it is ready is ready at both doors.
        host, _, port = replica.grpc_address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=1).close()
        yield found


@pytest.fixture
def stub(channel: grpc.Channel) -> pb_grpc.PredictionServiceStub:
    return pb_grpc.PredictionServiceStub(channel)


def value(what: object) -> struct_pb2.Value:
    return json_format.Parse(json.dumps(what), struct_pb2.Value())


def _untyped(stub: Any) -> Any:
    """These packages carry no usable types."""
    return stub


def failure(call: Any) -> tuple[grpc.StatusCode, str, str]:
    status = rpc_status.from_call(call)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return call.code(), info.reason, status.message


def test_json_in_json_out(stub: pb_grpc.PredictionServiceStub) -> None:
    request = pb.PredictRequest(json=value({"n": 5, "f": 0.5}), headers={"X-Custom": "yes"})
    answer = json.loads(json_format.MessageToJson(stub.Predict(request).json))
    assert answer == {"payload": {"n": 5, "f": 0.5}, "header": "yes", "kind": "dict"}


def test_text_is_a_json_string_for_who_asks_in_json(stub: pb_grpc.PredictionServiceStub) -> None:
    request = pb.PredictRequest(json=value({}), query_params={"mode": "text"})
    answers = [stub.Predict(request), *stub.PredictStream(request)]
    assert [(found.json.string_value, found.content_type) for found in answers] == [
        ("setosa \u00fc", "text/plain; charset=utf-8")
    ] * 2
    request = pb.PredictRequest(body=b"", query_params={"mode": "text"})
    assert stub.Predict(request).body == "setosa \u00fc".encode()


def test_bytes_in_bytes_out_and_the_request_id(stub: pb_grpc.PredictionServiceStub) -> None:
    answer, call = stub.Predict.with_call(pb.PredictRequest(body=b"abc"), metadata=(("x-request-id", "mine"),))
    assert (answer.body, answer.content_type) == (b"cba", "application/octet-stream")
    assert ("x-request-id", "mine") in [(key, found) for key, found in call.initial_metadata()]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("x-request-timeout-ms", "soon"), "must be a positive number of milliseconds"),
        (("x-request-priority", "0"), "must be a digit from 1"),
    ],
)
def test_what_is_no_time_limit_and_no_priority_is_refused(
    stub: pb_grpc.PredictionServiceStub, asked: tuple[str, str], told: str
) -> None:
    for call in (
        lambda: stub.Predict(pb.PredictRequest(body=b"a"), metadata=(asked,)),
        lambda: stub.Predict(pb.PredictRequest(body=b"a", headers=dict([asked]))),
        lambda: list(stub.PredictStream(pb.PredictRequest(body=b"a"), metadata=(asked,))),
    ):
        refused: Any
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT and told in refused.value.details()


def test_streams(stub: pb_grpc.PredictionServiceStub) -> None:
    request = pb.PredictRequest(body=b"", query_params={"mode": "stream"})
    whole = "".join(f"part {index} " for index in range(100)).encode()
    parts = [answer.body for answer in stub.PredictStream(request)]
    assert (len(parts), b"".join(parts)) == (100, whole)
    assert stub.Predict(request).body == whole
    single = [answer.body for answer in stub.PredictStream(pb.PredictRequest(body=b"ab"))]
    assert single == [b"ba"]


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (pb.PredictRequest(query_params={"mode": "raise"}), grpc.StatusCode.INTERNAL, "PREDICTOR_FAILED"),
        (pb.PredictRequest(query_params={"mode": "http"}), grpc.StatusCode.NOT_FOUND, "UNSPECIFIED"),
        (
            pb.PredictRequest(body=b"{", content_type="application/json"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "PAYLOAD_MALFORMED",
        ),
    ],
)
@pytest.mark.parametrize("method", ["Predict", "PredictStream"])
def test_failures(
    stub: pb_grpc.PredictionServiceStub, request_: pb.PredictRequest, code: grpc.StatusCode, reason: str, method: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        answer = getattr(stub, method)(request_)
        list(answer)
    found, told, text = failure(caught.value)
    assert (found, told) == (code, f"ERROR_REASON_{reason}")
    assert "secret" not in text


def test_a_death_begins_no_answer_and_asks_for_another_try(stub: pb_grpc.PredictionServiceStub) -> None:
    """Headers sent before the end would tie the call to this replica."""
    call = _untyped(stub).Predict.future(pb.PredictRequest(query_params={"mode": "die"}), timeout=20)
    assert call.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(call.trailing_metadata())["x-cortex-retry"] == "worker-died"
    assert dict(call.initial_metadata()) == {}


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0a\x05ab", b"\x1a\x02\xff\xfe"])
def test_bytes_that_are_no_request(channel: grpc.Channel, data: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _untyped(channel).unary_unary("/cortex.runtime.v1.PredictionService/Predict")(data, timeout=5)
    assert failure(caught.value)[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_PAYLOAD_MALFORMED")
    with pytest.raises(grpc.RpcError) as caught:
        list(_untyped(channel).unary_stream("/cortex.runtime.v1.PredictionService/PredictStream")(data, timeout=5))
    assert failure(caught.value)[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_PAYLOAD_MALFORMED")


def test_a_deadline_is_kept_and_frees_the_worker(stub: pb_grpc.PredictionServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(pb.PredictRequest(query_params={"mode": "sleep"}), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.Predict(pb.PredictRequest(body=b"ab"), timeout=5).body == b"ba"


def test_a_message_above_the_limit_is_refused(stub: pb_grpc.PredictionServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(pb.PredictRequest(body=b"x" * 200_000))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_health_and_reflection(channel: grpc.Channel) -> None:
    checked = _untyped(health_pb2_grpc.HealthStub)(channel).Check(
        health_pb2.HealthCheckRequest(service="cortex.runtime.v1.PredictionService")
    )
    assert checked.status == health_pb2.HealthCheckResponse.SERVING
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(_untyped(reflection_pb2_grpc.ServerReflectionStub)(channel).ServerReflectionInfo(iter([ask])))
    names = [service.name for service in answer.list_services_response.service]
    assert "cortex.runtime.v1.PredictionService" in names
