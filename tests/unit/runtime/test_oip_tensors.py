"""Tensor data from JSON to bytes and back, and what is refused on the way."""

import json
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.inference import InferError, InferRequest, ModelMetadata, Tensor, TensorMetadata
from runtime.oip import compression, datatypes, parameters, strict_json, tensors

_RANGES = {f"{sign}INT{bits}": (0, 2**bits - 1) for sign in ("U",) for bits in (8, 16, 32, 64)} | {
    f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)
}
_WIDTHS = {"FP16": 16, "FP32": 32, "FP64": 64}


def elements(datatype: str) -> st.SearchStrategy[Any]:
    if datatype in _RANGES:
        return st.integers(*_RANGES[datatype])
    if datatype in _WIDTHS:
        return st.floats(width=_WIDTHS[datatype], allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
    return st.booleans() if datatype == "BOOL" else st.text()


@st.composite
def filled(draw: st.DrawFn) -> tuple[str, list[int], list[Any]]:
    datatype = draw(st.sampled_from([name for name in datatypes.SIZES if name != "BF16"]))
    shape = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    count = math.prod(shape)
    return datatype, shape, draw(st.lists(elements(datatype), min_size=count, max_size=count))


def nest(values: list[Any], shape: list[int]) -> Any:
    for size in reversed(shape[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)] if size else [[]] * 0
    return values


@given(filled())
def test_json_and_bytes_say_the_same(told: tuple[str, list[int], list[Any]]) -> None:
    datatype, shape, values = told
    data = tensors.from_json("x", datatype, shape, msgspec.json.encode(values))
    tensors.check_size("x", datatype, shape, len(data))
    tensor = Tensor("x", datatype, shape, data)
    assert tensors.to_values(tensor) == values
    if datatype == "BYTES":
        tensors.check_bytes(tensor)
    if 0 not in shape:
        assert tensors.from_json("x", datatype, shape, msgspec.json.encode(nest(values, shape))) == data


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP32", [2], "[1]"),
        ("FP32", [2], "[1, 2, 3]"),
        ("FP32", [2, 2], "[[1, 2], [3]]"),
        ("FP32", [2, 2], "[[[1, 2, 3, 4]]]"),
        ("FP32", [1], "[NaN]"),
        ("FP32", [1], "[1e39]"),
        ("FP32", [1], '["1"]'),
        ("FP32", [1], "[true]"),
        ("INT8", [1], "[128]"),
        ("INT32", [1], "[1.5]"),
        ("UINT8", [1], "[-1]"),
        ("BOOL", [1], "[1]"),
        ("BYTES", [1], "[1]"),
        ("BF16", [1], "[1]"),
        ("FP31", [1], "[1]"),
        ("FP32", [-1], "[1]"),
        ("FP32", [2**63, 2], "[1]"),
        ("FP32", [1] * 33, "[1]"),
        ("FP32", [1], "null"),
        ("FP32", [1], "7"),
        ("FP32", [1], "{}"),
        ("FP32", [1], "[1"),
        ("INT64", [1], "[9223372036854775808]"),
        ("FP32", [4], "[[1,2],[3,4]]"),
    ],
)
def test_what_does_not_fit_is_refused(datatype: str, shape: list[int], data: str) -> None:
    with pytest.raises(InferError) as caught:
        tensors.from_json("x", datatype, shape, data.encode())
    assert caught.value.status == 400


def test_outputs_that_json_cannot_say_are_refused() -> None:
    for datatype, data, status in (
        ("FP32", struct.pack("<f", math.nan), 406),
        ("FP64", struct.pack("<d", math.inf), 406),
        ("BYTES", b"\1\0\0\0\xff", 406),
    ):
        with pytest.raises(InferError) as caught:
            tensors.to_values(Tensor("y", datatype, [1], data))
        assert caught.value.status == status and "binary" in str(caught.value)
    large = struct.pack("<2d", 1.7e308, 1.7e308)  # their sum is infinite, they are not
    assert tensors.to_values(Tensor("y", "FP64", [2], large)) == [1.7e308, 1.7e308]


@pytest.mark.parametrize("data", [b"\1\0\0", b"\xff\xff\xff\xffa", b"\1\0\0\0a\1\0\0\0b", b""])
def test_bytes_elements_are_counted(data: bytes) -> None:
    with pytest.raises(InferError):
        tensors.check_bytes(Tensor("x", "BYTES", [1], data))


def test_a_request_is_compared_with_what_the_model_declares() -> None:
    model = ModelMetadata(
        "m", ("1",), "p", (TensorMetadata("a", "FP32", (-1, 2)),), (TensorMetadata("y", "FP32", (1,)),)
    )

    def check(*inputs: Tensor, outputs: tuple[str, ...] = ()) -> None:
        tensors.check_declared(InferRequest("m", "", "", list(inputs), outputs), model)

    fine = Tensor("a", "FP32", (5, 2), b"")
    check(fine, outputs=("y",))
    for wrong in (Tensor("b", "FP32", (5, 2), b""), Tensor("a", "FP64", (5, 2), b""), Tensor("a", "FP32", (5, 3), b"")):
        with pytest.raises(InferError):
            check(wrong)
    for arguments in ([], [fine, fine]):
        with pytest.raises(InferError):
            check(*arguments)
    with pytest.raises(InferError):
        check(fine, outputs=("z",))
    tensors.check_declared(
        InferRequest("m", "", "", [Tensor("any", "INT8", (1,), b"")]), ModelMetadata("m", (), "p", (), ())
    )


# JSON.


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_shallow_json_passes_whatever_its_strings_hold(value: Any) -> None:
    text = json.dumps({"a": value, "b": "[" * 200, "c": '\\"[{' * 50}).encode()
    if _depth(value) < strict_json.MAX_DEPTH - 2:
        assert strict_json.check(text) == text


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"b":', '["]",'])
def test_deep_json_is_refused_before_it_is_parsed(opening: str) -> None:
    with pytest.raises(InferError, match="deeper"):
        strict_json.check((opening * 200_000).encode())
    deepest = ("[" * strict_json.MAX_DEPTH + "]" * strict_json.MAX_DEPTH).encode()
    assert strict_json.check(b"[" + b",".join([deepest[1:-1]] * 50) + b"]")
    with pytest.raises(InferError, match="deeper"):
        strict_json.check(b"[" + deepest + b"]")


def test_large_json_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InferError) as caught:
        strict_json.check(b" " * (strict_json.MAX_BYTES + 1))
    assert caught.value.status == 413


# Parameters and encodings.


def test_parameters() -> None:
    assert parameters.checked(None) == {}
    refused: tuple[dict[str, Any], ...] = ({"a": []}, {"a": None}, {"triton_x": 1})
    for told in refused:
        with pytest.raises(InferError):
            parameters.checked(told)
    assert parameters.deadline({}, 100.0, 0.0) == 0.0
    assert parameters.deadline({"timeout": 2_000_000}, 100.0, 0.0) == 102.0
    assert parameters.deadline({"timeout": 2_000_000}, 100.0, 101.0) == 101.0
    assert parameters.deadline({"timeout": 0}, 100.0, 101.0) == 101.0
    wrong: tuple[str | bool | int, ...] = ("soon", True, -1)
    for timeout in wrong:
        with pytest.raises(InferError):
            parameters.deadline({"timeout": timeout}, 100.0, 0.0)


@pytest.mark.parametrize("kind", [b"gzip", b"deflate"])
async def test_bodies_are_compressed_and_back(kind: bytes) -> None:
    data = bytes(range(256)) * 400
    packed = await compression.compress(data, kind)
    assert packed is not None and len(packed) < len(data)
    assert await compression.decompress(packed, kind, len(data)) == data
    assert await compression.compress(b"short", kind) is None


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        (b"br", b"x", 415),
        (b"gzip", b"x", 400),
        (b"gzip", b"", 400),
        (b"deflate", b"\x1f\x8b\x08", 400),
        (b"gzip", "bomb", 413),
        (b"gzip", "more", 400),
        (b"gzip", "cut", 400),
    ],
)
async def test_encodings_that_are_not_what_they_say(encoding: bytes, body: "bytes | str", status: int) -> None:
    small = await compression.compress(bytes(range(256)) * 40, b"gzip")
    bomb = await compression.compress(bytes(10_000_000), b"gzip")
    assert small is not None and bomb is not None
    sent = {"bomb": bomb, "more": small + b"x", "cut": small[:-9]}.get(body) if isinstance(body, str) else body
    with pytest.raises(InferError) as caught:
        await compression.decompress(sent or b"", encoding, 20_000_000)
    assert caught.value.status == status


def test_only_who_names_one_encoding_wants_it() -> None:
    assert compression.wanted(b"gzip") == b"gzip" and compression.wanted(b" Deflate ") == b"deflate"
    assert compression.wanted(b"gzip, deflate, br") == b"" and compression.wanted(b"identity") == b""
