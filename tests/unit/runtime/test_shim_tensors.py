"""What a predictor gets of tensors and what becomes of its answers, with numpy in its environment and without."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.inference import InferRequest, Tensor
from runtime.oip import wire
from runtime.shim import tensors


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    original: Callable[..., Any] = importlib.import_module

    def refuse(name: str, package: "str | None" = None) -> Any:
        if name == "numpy":
            raise ImportError(name)
        return original(name, package)

    tensors.numpy.cache_clear()
    monkeypatch.setattr(importlib, "import_module", refuse)
    yield
    tensors.numpy.cache_clear()


def received(*inputs: Tensor, **more: Any) -> tensors.Tensors:
    """What a worker makes of what the front sends."""
    content_type, body = wire.request(InferRequest("m", "1", "7", list(inputs), **more))
    assert isinstance(body, bytes)
    return tensors.decode(body, tensors.head_size(content_type.decode()))


def answered(result: Any, *, declared: "list[dict[str, Any]] | None" = None, **asked: Any) -> dict[str, Tensor]:
    """What the front makes of what a predictor returned."""
    head, buffers = tensors.Encoder(declared or []).message(result, "m", "1", tensors.Tensors(asked))
    response = wire.response(f"{tensors.TYPE}; header={len(head)}", b"".join([head, *buffers]))
    assert all(map(wire.fits, response.outputs))
    return {tensor.name: tensor for tensor in response.outputs}


_KINDS = {
    "BOOL": "?",
    "INT8": "i1",
    "UINT16": "u2",
    "INT32": "i4",
    "UINT64": "u8",
    "FP16": "f2",
    "FP32": "f4",
    "FP64": "f8",
}


@given(st.sampled_from(sorted(_KINDS)), st.lists(st.integers(0, 3), max_size=3), st.randoms(use_true_random=False))
def test_arrays_come_back_as_they_were(datatype: str, shape: list[int], random: Any) -> None:
    count = int(np.prod(shape, dtype=int))
    array = np.frombuffer(random.randbytes(16 * count + 16), dtype="u1")[:count].astype(_KINDS[datatype]).reshape(shape)
    payload = received(Tensor("x", datatype, shape, array.tobytes()))
    assert payload["x"].dtype == array.dtype and payload["x"].shape == tuple(shape)
    assert np.array_equal(payload["x"], array)
    back = answered({"y": payload["x"]})["y"]
    assert (back.datatype, list(back.shape), bytes(back.data)) == (datatype, shape, array.tobytes())


def test_the_id_and_parameters_are_beside_the_arrays() -> None:
    payload = received(Tensor("x", "INT8", [1], b"\1"), outputs=["y"], parameters={"sequence_id": 5})
    assert (payload.id, payload.parameters, payload.outputs) == ("7", {"sequence_id": 5}, ["y"])
    assert dict(payload) == {"x": np.array([1], dtype="i1")}


def test_bytes_elements_are_bytes() -> None:
    payload = received(Tensor("x", "BYTES", [2, 1], b"\1\0\0\0a\0\0\0\0"))
    assert payload["x"].dtype == object and payload["x"].tolist() == [[b"a"], [b""]]
    back = answered({"y": payload["x"], "z": np.array(["é"]), "s": np.array([b"xy"])})
    assert bytes(back["y"].data) == b"\1\0\0\0a\0\0\0\0" and list(back["y"].shape) == [2, 1]
    assert bytes(back["z"].data) == b"\2\0\0\0\xc3\xa9" and bytes(back["s"].data) == b"\2\0\0\0xy"


@pytest.mark.parametrize("data", [b"\1\0\0", b"\xff\0\0\0a", b"\1\0\0\0a\1\0\0\0b\1\0\0\0c"])
def test_bytes_that_are_not_what_they_say_are_the_callers_mistake(data: bytes) -> None:
    with pytest.raises(tensors.Unfit):
        received(Tensor("x", "BYTES", [2], data))


def test_bf16_is_float32_to_the_predictor() -> None:
    payload = received(Tensor("x", "BF16", [2], b"\x80\x3f\x00\xc0"))
    assert payload["x"].tolist() == [1.0, -2.0]
    back = answered({"y": payload["x"]}, declared=[{"name": "y", "datatype": "BF16", "shape": [2]}])["y"]
    assert (back.datatype, bytes(back.data)) == ("BF16", b"\x80\x3f\x00\xc0")


def test_a_declared_output_gets_its_datatype() -> None:
    declared = [{"name": "y", "datatype": "FP32", "shape": [-1]}]
    assert answered([1, 2], declared=declared)["y"].datatype == "FP32"
    assert answered(np.array([1.0, 2.0]), declared=declared)["y"].datatype == "FP32"
    assert answered(3, declared=declared)["y"].shape == []


def test_results_find_their_names() -> None:
    two = [{"name": "a", "datatype": "INT64", "shape": [1]}, {"name": "b", "datatype": "INT64", "shape": [1]}]
    assert sorted(answered(([1], [2]), declared=two)) == ["a", "b"]
    assert sorted(answered([[1], [2]], declared=two)) == ["a", "b"]
    assert sorted(answered([1])) == ["output"]
    assert sorted(answered({"a": [1], "b": [2]}, outputs=["b"])) == ["b"]
    assert sorted(answered({"a": [1], "b": [2]}, outputs=[{"name": "a"}])) == ["a"]
    with pytest.raises(tensors.Unfit, match="'c'"):
        answered({"a": [1]}, outputs=["c"])


def test_arrays_in_other_memory_orders_are_put_in_order() -> None:
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    back = answered({"y": array})["y"]
    assert bytes(back.data) == np.ascontiguousarray(array, dtype="<i4").tobytes() and list(back.shape) == [3, 2]


def test_torch_like_values_are_taken() -> None:
    class Like:
        dtype = "torch.float32"

        def detach(self) -> "Like":
            return self

        def cpu(self) -> Any:
            return np.array([1.0], dtype="f4")

    assert answered({"y": Like()})["y"].datatype == "FP32"


@pytest.mark.parametrize("value", [1 + 2j, np.array([1j]), np.array(["2020"], dtype="M8[D]")])
def test_what_is_no_tensor_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        answered({"y": value})


@pytest.mark.usefixtures("without_numpy")
class TestWithoutNumpy:
    """Nested lists instead."""

    def test_inputs_are_lists(self) -> None:
        assert received(Tensor("x", "INT16", [2, 2], b"\1\0\2\0\3\0\4\0"))["x"] == [[1, 2], [3, 4]]
        assert received(Tensor("x", "FP32", [], b"\0\0\x80\x3f"))["x"] == 1.0
        assert received(Tensor("x", "BF16", [1], b"\x80\x3f"))["x"] == [1.0]
        assert received(Tensor("x", "BYTES", [1, 1], b"\1\0\0\0a"))["x"] == [[b"a"]]
        assert received(Tensor("x", "INT8", [0, 2], b""))["x"] == []

    def test_outputs_are_made_of_lists(self) -> None:
        made = answered({"i": [[1, 2]], "f": [1, 0.5], "b": [True], "t": ["a", b"b"], "s": 7})
        assert {name: (one.datatype, list(one.shape)) for name, one in made.items()} == {
            "i": ("INT64", [1, 2]), "f": ("FP64", [2]), "b": ("BOOL", [1]), "t": ("BYTES", [2]), "s": ("INT64", []),
        }  # fmt: skip
        declared = [{"name": "y", "datatype": "INT8", "shape": [1]}]
        assert bytes(answered([3.0], declared=declared)["y"].data) == b"\3"

    def test_ragged_and_mixed_lists_are_refused(self) -> None:
        with pytest.raises(ValueError, match="lengths"):
            answered({"y": [[1], [1, 2]]})
        with pytest.raises(TypeError, match="no tensor"):
            answered({"y": [1, "a"]})


def test_only_well_formed_declarations_count() -> None:
    fine = {"name": "x", "datatype": "FP32", "shape": (1, -1)}
    assert tensors.declared([fine]) == [{"name": "x", "datatype": "FP32", "shape": [1, -1]}]
    others: tuple[Any, ...] = (
        None,
        5,
        "x",
        [1],
        [{}],
        [dict(fine, datatype="float")],
        [dict(fine, shape="1")],
        np.array([1]),
    )
    for other in others:
        assert tensors.declared(other) == []
