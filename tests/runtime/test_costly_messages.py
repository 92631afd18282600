"""Messages that are small on the wire and large once parsed are refused before they are, at every gRPC door."""

import pathlib
import struct
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from tests.runtime import replica as replicas

SIZE = 16 * 1024 * 1024
LARGE = 100_000
CODES = {code.value[0]: code.name for code in grpc.StatusCode}
INFER, PREDICT = "/inference.GRPCInferenceService/", "/cortex.runtime.v1.PredictionService/"
SOURCE = "class PythonPredictor:\n    def predict(self, payload):\n        return {'y': payload['x']}\n"
EMPTY_INPUTS = b"\x2a\0" * (SIZE // 2)
# A group, which no message of ours has, and inputs behind it.
IN_GROUP = b"\x7b\x7c" + EMPTY_INPUTS
# An input with parameters without names; one whose typed contents are empty texts; JSON that is a list of nothing.
PARAMETERS = b"\x2a\x80\x80\x80\x08" + b"\x22\0" * (SIZE // 2)
EMPTY_TEXTS = b"\x2a\x85\x80\x80\x08\x2a\x80\x80\x80\x08" + b"\x42\0" * (SIZE // 2)
EMPTY_VALUES = b"\x0a\x85\x80\x80\x08\x32\x80\x80\x80\x08" + b"\x0a\0" * (SIZE // 2)
# A setting of very many values.
SETTINGS = b"\x0a\x85\x80\x80\x08\x12\x80\x80\x80\x08" + b"\x0a\0" * (SIZE // 2)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[replicas.Replica]:
    folder: pathlib.Path = tmp_path_factory.mktemp("costly")
    with replicas.running(folder, SOURCE, config={"grpcAddress": "free"}) as replica:
        small = pb.ModelInferRequest(model_name="demo")
        small.inputs.add(name="x", datatype="BOOL", shape=[LARGE]).contents.bool_contents.extend([True] * LARGE)
        with grpc.insecure_channel(replica.grpc_address) as channel:
            infer: Any = channel.unary_unary(INFER + "ModelInfer")
            infer(small.SerializeToString(), timeout=30)  # so that the process which reads large messages is there
        yield replica


def peak(served: replicas.Replica) -> int:
    """Of the memory of the front and of the process that reads for it, in bytes."""
    processes = [served.process.pid, *replicas.readers(served)]
    lines = [line for pid in processes for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def refused(error: Any) -> str:
    return f"{error.code().name} {error.details()}"


def unary(served: replicas.Replica, method: str, data: bytes) -> str:
    with grpc.insecure_channel(served.grpc_address) as channel, pytest.raises(grpc.RpcError) as caught:
        call: Any = channel.unary_unary(method)
        call(data, timeout=30)
    return refused(caught.value)


def streamed(served: replicas.Replica, method: str, data: bytes) -> str:
    with grpc.insecure_channel(served.grpc_address) as channel:
        call: Any
        if method.startswith(INFER):
            call = channel.stream_stream(method)
            [reply] = call(iter([data]), timeout=30)
            return pb.ModelStreamInferResponse.FromString(reply).error_message
        call = channel.unary_stream(method)
        with pytest.raises(grpc.RpcError) as caught:
            list(call(data, timeout=30))
    return refused(caught.value)


def bridged(served: replicas.Replica, method: str, data: bytes) -> str:
    frame = struct.pack(">BI", 0, len(data)) + data
    answer = served.client.post(method, content=frame, headers={"content-type": "application/grpc"})
    return f"{CODES[int(answer.headers['grpc-status'])]} {answer.headers['grpc-message']}"


@pytest.mark.parametrize(
    ("ask", "method", "data", "told"),
    [
        (unary, INFER + "ModelInfer", EMPTY_INPUTS, "4352 fields"),
        (unary, INFER + "ModelInfer", IN_GROUP, "4352 fields"),
        (unary, INFER + "ModelInfer", PARAMETERS, "send tensors raw"),
        (unary, INFER + "ModelInfer", EMPTY_TEXTS, "send tensors raw"),
        (unary, INFER + "TraceSetting", SETTINGS, "65536 fields"),
        (streamed, INFER + "ModelStreamInfer", PARAMETERS, "send tensors raw"),
        (bridged, INFER + "ModelInfer", PARAMETERS, "send tensors raw"),
        (unary, PREDICT + "Predict", EMPTY_VALUES, "send JSON as `body`"),
        (streamed, PREDICT + "PredictStream", EMPTY_VALUES, "send JSON as `body`"),
        (bridged, PREDICT + "Predict", EMPTY_VALUES, "send JSON as `body`"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("/") else getattr(value, "__name__", ""),
)
def test_a_message_of_empty_messages_costs_its_size(
    served: replicas.Replica, ask: Callable[[replicas.Replica, str, bytes], str], method: str, data: bytes, told: str
) -> None:
    before = peak(served)
    said = ask(served, method, data)
    # Copies of the message on its way in, and no more.
    assert peak(served) - before < 6 * SIZE
    assert told in said and (said.startswith("INVALID_ARGUMENT ") or method.endswith("ModelStreamInfer"))
