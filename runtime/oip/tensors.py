"""Tensor data: from JSON to the protocol's bytes and back, and the checks on names, shapes and sizes."""

import functools
import itertools
import math
import re
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from runtime.inference import InferError, InferRequest, ModelMetadata, Tensor
from runtime.oip import datatypes, strict_json

_MAX_RANK = 32
_MAX_TENSORS = 1024
_MAX_ELEMENTS = 2**40
_LEADING = re.compile(rb"[\[\s]*")
_LENGTH = struct.Struct("<I")


def count(name: str, datatype: str, shape: Sequence[int]) -> int:
    """Elements of such a tensor. Raises InferError for what cannot be one."""
    if not name:
        raise InferError(400, "an input has no name")
    if datatype not in datatypes.SIZES:
        raise InferError(400, f"input {name!r} has the unknown datatype {datatype[:40]!r}")
    if len(shape) > _MAX_RANK:
        raise InferError(400, f"input {name!r} has {len(shape)} dimensions; {_MAX_RANK} are the most")
    if any(size < 0 for size in shape):
        raise InferError(400, f"input {name!r} has a negative size in its shape {list(shape)}")
    elements = math.prod(shape)
    if elements > _MAX_ELEMENTS:
        raise InferError(400, f"input {name!r} of shape {list(shape)} has too many elements")
    return elements


def check_number(inputs: int, outputs: int) -> None:
    """Raises InferError 400. Each tensor costs the event loop its checks, however small it is."""
    if not inputs:
        raise InferError(400, "the request has no inputs")
    if inputs > _MAX_TENSORS or outputs > _MAX_TENSORS:
        told = f"the request has {inputs} inputs and asks for {outputs} outputs"
        raise InferError(400, f"{told}; {_MAX_TENSORS} of each are the most")


def check_size(name: str, datatype: str, shape: Sequence[int], size: int) -> None:
    """Raises InferError when `size` bytes cannot be the tensor's."""
    elements = count(name, datatype, shape)
    if datatype == "BYTES":
        if size < elements * datatypes.LENGTH_BYTES or (elements == 0 and size):
            raise InferError(400, f"input {name!r} of {elements} BYTES elements cannot have {size} bytes")
        return
    expected = elements * datatypes.SIZES[datatype]
    if size != expected:
        told = f"input {name!r} ({datatype}, shape {list(shape)}) must have {expected} bytes; it has {size}"
        raise InferError(400, told)


def check_bytes(tensor: Tensor) -> None:
    """Raises InferError unless a BYTES tensor holds exactly its elements."""
    if sum(1 for _ in _elements(tensor)) != count(tensor.name, tensor.datatype, tensor.shape):
        raise InferError(400, f"input {tensor.name!r} does not hold as many BYTES elements as its shape says")


def _elements(tensor: Tensor) -> Iterable[bytes]:
    data = bytes(tensor.data)
    at, end = 0, len(data)
    while at < end:
        if at + 4 > end:
            raise InferError(400, f"tensor {tensor.name!r} ends inside the length of a BYTES element")
        [size] = _LENGTH.unpack_from(data, at)
        at += 4
        if at + size > end:
            raise InferError(400, f"a BYTES element of tensor {tensor.name!r} is said to be longer than the tensor")
        yield data[at : at + size]
        at += size


def check_distinct(inputs: Sequence[Tensor]) -> None:
    if len(inputs) > 1 and len({tensor.name for tensor in inputs}) != len(inputs):
        raise InferError(400, "two inputs have the same name")


def check_declared(request: InferRequest, model: ModelMetadata) -> None:
    """Raises InferError when the request does not fit what the model says of itself; empty lists say nothing."""
    if model.inputs:
        declared = {tensor.name: tensor for tensor in model.inputs}
        for given in request.inputs:
            wanted = declared.pop(given.name, None)
            if wanted is None:
                raise InferError(400, f"model {model.name!r} has no input {given.name[:80]!r}")
            if wanted.datatype != given.datatype:
                told = f"input {given.name!r} of model {model.name!r} is {wanted.datatype}, not {given.datatype}"
                raise InferError(400, told)
            if not _fits(given.shape, wanted.shape):
                told = f"input {given.name!r} has shape {list(given.shape)}; the model takes {list(wanted.shape)}"
                raise InferError(400, told)
        if declared:
            raise InferError(400, f"model {model.name!r} also needs the input {next(iter(declared))!r}")
    if model.outputs and request.outputs:
        known = {tensor.name for tensor in model.outputs}
        for name in request.outputs:
            if name not in known:
                raise InferError(400, f"model {model.name!r} has no output {name[:80]!r}")


def _fits(given: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(given) == len(wanted) and all(w in (-1, g) for g, w in zip(given, wanted, strict=True))


# JSON to bytes.


def from_json(name: str, datatype: str, shape: Sequence[int], raw: "bytes | memoryview") -> bytes:
    """The tensor's bytes from its JSON `data`, flat or nested as the shape is."""
    elements = count(name, datatype, shape)
    if datatype == "BF16":
        raise InferError(400, f"input {name!r}: BF16 has no JSON form; send it as binary data")
    text = bytes(raw)
    found = _LEADING.match(text)
    depth = found.group().count(b"[") if found else 0
    if depth != 1 and depth != len(shape):
        told = f"the data of input {name!r} is nested {depth} deep; it must be flat or as its shape {list(shape)}"
        raise InferError(400, told)
    values = _flat(name, shape, strict_json.decode(_decoder(_kind(datatype), depth), text), depth)
    if len(values) != elements:
        told = f"input {name!r} of shape {list(shape)} must have {elements} elements; it has {len(values)}"
        raise InferError(400, told)
    return pack(name, datatype, values)


def _flat(name: str, shape: Sequence[int], data: list[Any], depth: int) -> list[Any]:
    if depth <= 1:
        return data
    for below in shape[1:]:
        if set(map(len, data)) - {below}:
            raise InferError(400, f"the data of input {name!r} is not nested as its shape {list(shape)}")
        data = list(itertools.chain.from_iterable(data))
    return data


@functools.lru_cache(maxsize=512)
def _decoder(kind: Any, depth: int) -> "msgspec.json.Decoder[Any]":
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _kind(datatype: str) -> type:
    if datatype == "BYTES":
        return str
    if datatype == "BOOL":
        return bool
    return float if datatype in datatypes.FLOATS else int


def pack(name: str, datatype: str, values: Sequence[Any]) -> bytes:
    """Raises InferError for a value beyond what the datatype can hold."""
    if datatype == "BYTES":
        return pack_bytes([value.encode("utf-8", "surrogatepass") for value in values])
    try:
        return struct.pack(f"<{len(values)}{datatypes.FORMATS[datatype]}", *values)
    except (struct.error, OverflowError):
        raise InferError(400, f"input {name!r} has an element that {datatype} cannot hold") from None


def pack_bytes(values: Iterable[bytes]) -> bytes:
    return b"".join([_LENGTH.pack(len(value)) + value for value in values])


# Bytes to JSON.


def to_values(tensor: Tensor) -> list[Any]:
    """The elements, for JSON. Raises InferError where JSON has no form for them."""
    kind = tensor.datatype
    if kind == "BYTES":
        return [_text(tensor.name, element) for element in _elements(tensor)]
    if kind == "BF16":
        raise InferError(400, f"output {tensor.name!r} is BF16, which has no JSON form; ask for it as binary data")
    if kind == "FP16":
        values = list(struct.unpack(f"<{len(tensor.data) // 2}e", tensor.data))
    else:
        values = memoryview(tensor.data).cast("B").cast(datatypes.FORMATS[kind]).tolist()  # type: ignore[call-overload]
    # A sum is finite only if all are, and quick; the other way it may have overflowed.
    if kind in datatypes.FLOATS and not math.isfinite(sum(values)) and not all(map(math.isfinite, values)):
        told = f"output {tensor.name!r} has NaN or infinity, which JSON cannot say; ask for it as binary data"
        raise InferError(406, told)  # no failure of the model's: the caller may have sent it, and can have it as bytes
    return values


def _text(name: str, element: bytes) -> str:
    try:
        return element.decode("utf-8")
    except UnicodeDecodeError:
        told = f"output {name!r} holds bytes that are no text, so JSON cannot carry it; ask for it as binary data"
        raise InferError(406, told) from None
