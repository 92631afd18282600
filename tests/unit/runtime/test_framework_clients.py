"""What `tensorflow_client` asks for, and what it makes of a model's outputs."""

import types
from typing import Any

import numpy
import pytest

from runtime.inference import InferRequest, InferResponse
from runtime.shim import framework_clients, logs, models, tensors
from runtime.triton.desk import Desk


class Asker:
    """A front whose model gives these outputs."""

    def __init__(self, **outputs: tuple[str, Any]) -> None:
        self.asked: dict[str, Any] = {}
        packed = [tensors.pack(name, value, datatype) for name, (datatype, value) in outputs.items()]
        self._answer = {"outputs": [head for head, _ in packed]}, b"".join(data for _, data in packed)

    def ask(self, kind: str, meta: dict[str, Any], body: bytes = b"") -> Any:
        if kind == "signature":
            return {"inputs": [{"name": "x", "datatype": "INT64", "shape": [-1]}]}, b""
        self.asked = meta
        return self._answer


def test_strings_are_base64_as_they_came_from_tensorflow_serving() -> None:
    asker = Asker(label=("BYTES", [[b"setosa", b"\xff\xfe"]]), score=("FP64", [[0.5, 1.5]]), number=("INT64", [3]))
    client: Any = framework_clients.TensorFlowClient(asker)  # type: ignore[arg-type]
    assert client.predict([1]) == {"label": ["c2V0b3Nh", "//4="], "score": [0.5, 1.5], "number": [3]}


@pytest.mark.parametrize(
    ("value", "shape"),
    [(5, [1]), (numpy.int64(5), [1]), (numpy.array(5), [1]), ([5, 6], [2])],
)
def test_one_value_may_stand_for_a_row_of_one(value: Any, shape: list[int]) -> None:
    """The ancestor's iris example gives its four numbers so."""
    asker = Asker(y=("FP32", [1.0]))
    client: Any = framework_clients.TensorFlowClient(asker)  # type: ignore[arg-type]
    client.predict({"x": value})
    assert asker.asked["inputs"][0]["shape"] == shape


def test_what_a_model_does_not_take_is_told_whole() -> None:
    client: Any = framework_clients.TensorFlowClient(Asker())  # type: ignore[arg-type]
    with pytest.raises(models.ModelError) as caught:
        client.predict({"x": [[1, 2], [3]]})
    assert caught.value.status_code == 400
    assert caught.value.detail.startswith("input 'x' must be INT64 [-1]: setting an array element")


def test_what_the_onnx_client_tells_of_a_model() -> None:
    """As the ancestor's yolov5 example asks for it, from 0.18 to 0.33."""
    client: Any = framework_clients.ONNXClient(Asker())  # type: ignore[arg-type]
    assert client.get_model()["input_signatures"] == {"x": {"shape": [-1], "type": "int64"}}
    (signature,) = client.input_signatures.values()
    assert signature["x"]["shape"] == [-1]


def test_the_deadline_of_the_request_goes_along() -> None:
    asker = Asker(y=("FP32", [1.0]))
    client: Any = framework_clients.TensorFlowClient(asker)  # type: ignore[arg-type]
    token = logs.current.set(types.SimpleNamespace(deadline=12.5, traceparent=""))  # type: ignore[arg-type]
    try:
        client.predict([1])
    finally:
        logs.current.reset(token)
    assert asker.asked["deadline"] == 12.5


@pytest.mark.parametrize(
    ("timeout", "told", "low", "high"),
    [(0.0, None, 0, 0), (0.0, 12.5, 12.5, 12.5), (1e9, 12.5, 12.5, 12.5), (1e9, None, 1e9, 9e9)],
)
async def test_the_models_get_the_earlier_deadline(timeout: float, told: float | None, low: float, high: float) -> None:
    seen: list[InferRequest] = []

    class Residents:
        async def infer(self, model: str | None, version: str, request: InferRequest) -> InferResponse:
            seen.append(request)
            return InferResponse("m", "1", "", [])

    async def residents() -> Any:
        return Residents()

    await Desk(residents, timeout).infer({"inputs": [], "deadline": told}, b"")
    assert low <= seen[0].deadline <= high
