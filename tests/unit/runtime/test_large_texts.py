"""What the scribe makes of large requests means what it meant, and so do its refusals."""

import json
import pickle
from typing import Any

import pytest

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2 as predict_pb
from runtime import grpc_messages as predict_messages
from runtime.inference import InferError, InferRequest, Tensor
from runtime.oip import grpc_messages, http_request, shared_memory, tensors
from runtime.openai.problems import Problem
from runtime.scribe import INLINE_BYTES

REGION = {"shared_memory_region": "r", "shared_memory_byte_size": 8}


def no_regions() -> shared_memory.Regions:
    raise AssertionError("no shared memory here")


def told(request: InferRequest) -> Any:
    inputs = [(t.name, t.datatype, list(t.shape), bytes(t.data)) for t in request.inputs]
    return inputs, list(request.outputs), request.parameters, request.id


def body(**more: Any) -> dict[str, Any]:
    inputs = [
        {"name": "n", "datatype": "INT16", "shape": [2, 2], "data": [[1, 2], [3, 4]]},
        {"name": "t", "datatype": "BYTES", "shape": [2], "data": ["é", ""], "parameters": {"mine": {"deep": []}}},
        {"name": "none", "datatype": "FP32", "shape": [0], "data": []},
    ]
    outputs = [{"name": "y", "parameters": {"binary_data": True, "mine": 1}}, {"name": "z"}]
    return {"id": "me", "inputs": inputs, "outputs": outputs, "parameters": {"timeout": 5, "a": "b"}, **more}


def test_json_becomes_binary_and_means_the_same() -> None:
    text = json.dumps(body()).encode()
    request, wish = http_request.parse(text, b"", "m", "", no_regions)
    small, size = http_request.binary(text, b"")
    again, same = http_request.parse(small, size, "m", "", no_regions)
    assert told(again) == told(request)
    assert (same.binary, same.all_binary) == (wish.binary, wish.all_binary) == ({"y": True, "z": False}, False)
    assert b"mine" not in small and b"deep" not in small


def test_binary_and_shared_inputs_keep_their_places() -> None:
    first = {"name": "a", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}
    shared = {"name": "s", "datatype": "INT64", "shape": [1], "parameters": REGION}
    head = json.dumps(body(inputs=[first, shared, body()["inputs"][0]])).encode()
    small, size = http_request.binary(head + b"\7\x08", b"%d" % len(head))
    [a, s, n] = json.loads(small[: int(size)])["inputs"]
    assert (a["parameters"], s["parameters"]) == ({"binary_data_size": 2}, REGION)
    assert small[int(size) :] == b"\7\x08" + tensors.pack("n", "INT16", [1, 2, 3, 4]) and "data" not in n


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": []},
        {"inputs": [{"name": "n", "datatype": "INT16", "shape": [2], "data": [1]}]},
        {"inputs": [{"name": "n", "datatype": "INT16", "shape": [1], "data": [2**20]}]},
        {"inputs": [{"name": "n", "datatype": "INT16", "shape": [1]}]},
        {"parameters": {str(number): 1 for number in range(1025)}},
    ],
)
def test_refusals_are_the_same(change: dict[str, Any]) -> None:
    text = json.dumps(body(**change)).encode()
    with pytest.raises(InferError) as here:
        http_request.parse(text, b"", "m", "", no_regions)
    with pytest.raises(InferError) as there:
        http_request.binary(text, b"")
    assert (there.value.status, str(there.value)) == (here.value.status, str(here.value))


def test_only_large_json_is_large() -> None:
    assert not http_request.is_large(bytes(INLINE_BYTES), b"")
    assert http_request.is_large(bytes(INLINE_BYTES + 1), b"")
    assert not http_request.is_large(bytes(10 * INLINE_BYTES), b"300")
    assert http_request.is_large(bytes(10 * INLINE_BYTES), b"%d" % (2 * INLINE_BYTES))


def message(count: int) -> pb.ModelInferRequest:
    found = pb.ModelInferRequest(model_name="m", id="me")
    found.inputs.add(name="n", datatype="INT16", shape=[count]).contents.int_contents.extend(range(count))
    found.inputs.add(name="t", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"x")
    found.inputs[1].parameters["mine"].bool_param = True
    found.parameters["timeout"].int64_param = 5
    found.outputs.add(name="y")
    return found


def test_typed_contents_become_raw_and_mean_the_same() -> None:
    request, _ = grpc_messages.request(message(20_000), no_regions)
    small = pb.ModelInferRequest.FromString(grpc_messages.plain(message(20_000).SerializeToString()))
    again, _ = grpc_messages.request(small, no_regions)
    assert told(again) == told(request) and not small.inputs[1].parameters


def test_a_message_is_large_by_what_is_not_its_bulk() -> None:
    small = pb.ModelInferRequest(raw_input_contents=[bytes(20 * INLINE_BYTES)] * 2)
    assert not grpc_messages.is_large(small.SerializeToString())
    assert grpc_messages.is_large(message(20_000).SerializeToString())
    assert not predict_messages.is_large_predict(
        predict_pb.PredictRequest(body=bytes(9 * INLINE_BYTES)).SerializeToString()
    )
    assert grpc_messages.is_large(b"\xff" * 2 * INLINE_BYTES), "what cannot be followed is the parser's"
    for many in (b"\x3a\0" * INLINE_BYTES, b"\x0b" * 2 * INLINE_BYTES, b"\x7b\x7c" + b"\x2a\0" * INLINE_BYTES):
        with pytest.raises(InferError, match="more than 4352 fields"):
            grpc_messages.is_large(many)
    for broken in (b"\x3a\xff\xff\xff\xff\x7f" + bytes(2 * INLINE_BYTES), b"\x3d" + bytes(2 * INLINE_BYTES)):
        with pytest.raises(InferError):
            grpc_messages.is_large(broken)
            grpc_messages.plain(broken)


def test_errors_cross_processes() -> None:
    refused = pickle.loads(pickle.dumps(InferError(413, "too large", "PAYLOAD_TOO_LARGE", 3, (("a", "b"),))))
    assert (refused.status, str(refused), refused.reason) == (413, "too large", "PAYLOAD_TOO_LARGE")
    assert (refused.retry_after, refused.headers) == (3, (("a", "b"),))
    problem = pickle.loads(pickle.dumps(Problem(400, "no", param="n", code="c", headers=[(b"a", b"b")])))
    assert (problem.status, problem.error()["param"], problem.code) == (400, "n", "c")
    assert problem.headers == [(b"a", b"b")]


def test_a_tensor_of_no_bytes_is_still_there() -> None:
    small, size = http_request.binary(json.dumps(body()).encode(), b"")
    request, _ = http_request.parse(small, size, "m", "", no_regions)
    assert request.inputs[2] == Tensor("none", "FP32", [0], b"")
