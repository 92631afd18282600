"""What `tensorflow_client` makes of a model's outputs."""

from typing import Any

from runtime.shim import framework_clients, tensors


class Asker:
    """A front whose model gives these outputs."""

    def __init__(self, **outputs: tuple[str, Any]) -> None:
        packed = [tensors.pack(name, value, datatype) for name, (datatype, value) in outputs.items()]
        self._answer = {"outputs": [head for head, _ in packed]}, b"".join(data for _, data in packed)

    def ask(self, kind: str, meta: dict[str, Any], body: bytes = b"") -> Any:
        if kind == "signature":
            return {"inputs": [{"name": "x", "datatype": "INT64", "shape": [-1]}]}, b""
        return self._answer


def test_strings_are_base64_as_they_came_from_tensorflow_serving() -> None:
    asker = Asker(label=("BYTES", [[b"setosa", b"\xff\xfe"]]), score=("FP64", [[0.5, 1.5]]), number=("INT64", [3]))
    client: Any = framework_clients.TensorFlowClient(asker)  # type: ignore[arg-type]
    assert client.predict([1]) == {"label": ["c2V0b3Nh", "//4="], "score": [0.5, 1.5], "number": [3]}
