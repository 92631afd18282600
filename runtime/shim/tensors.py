"""Tensors for a predictor and back: named arrays in, named arrays out, as the Open Inference Protocol has them.

A message is JSON and the raw tensors behind it; the content type says how long the JSON is. With numpy in the user's
environment inputs are arrays (views of the message, so read-only), else nested lists.
"""

from __future__ import annotations

import collections.abc
import functools
import importlib
import itertools
import json
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from . import encode

TYPE = "application/vnd.cortex.tensors"
STREAM_TYPE = "application/vnd.cortex.tensor-stream"
# In front of each message of a stream: lengths of its JSON and of what is behind it.
STREAM_HEAD = struct.Struct("<IQ")

_FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
_NUMPY = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BF16": "<u2",
}  # fmt: skip
_NAMES = {
    "b1": "BOOL", "u1": "UINT8", "u2": "UINT16", "u4": "UINT32", "u8": "UINT64", "i1": "INT8", "i2": "INT16",
    "i4": "INT32", "i8": "INT64", "f2": "FP16", "f4": "FP32", "f8": "FP64",
}  # fmt: skip
_LENGTH = struct.Struct("<I")


class Unfit(ValueError):
    """The caller's tensors are not what they say they are, or ask for what is not there."""


class Tensors(dict):  # type: ignore[type-arg]
    """The payload of a predictor: arrays by name, with the request's id, parameters and wanted outputs beside them."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__()
        self.id = told.get("id") or ""
        self.parameters: dict[str, Any] = told.get("parameters") or {}
        wanted = told.get("outputs") or ()
        self.outputs: list[str] = [name if isinstance(name, str) else name["name"] for name in wanted]


@functools.lru_cache(maxsize=1)
def numpy() -> Any:
    """The user's numpy, or None."""
    try:
        return importlib.import_module("numpy")
    except ImportError:
        return None


# From the front.


def head_size(content_type: str) -> int:
    """Of a message, as its content type tells."""
    return int(content_type[content_type.index("=") + 1 :])


def decode(body: bytes, head_size: int) -> Tensors:
    """Raises Unfit."""
    told = json.loads(body[:head_size].decode("utf-8"))
    found = Tensors(told)
    at = head_size
    library = numpy()
    for tensor in told["inputs"]:
        size = tensor["size"] if "size" in tensor else tensor["parameters"]["binary_data_size"]
        found[tensor["name"]] = _value(library, body, at, size, tensor["datatype"], tensor["shape"])
        at += size
    return found


def _value(library: Any, body: bytes, at: int, size: int, datatype: str, shape: Sequence[int]) -> Any:
    count = math.prod(shape)
    if datatype == "BYTES":
        elements = list(_elements(body, at, at + size))
        if len(elements) != count:
            raise Unfit(f"a BYTES input has {len(elements)} elements; its shape {list(shape)} says {count}")
        if library is None:
            return _nested(elements, shape)
        array = library.empty(count, dtype=object)
        array[:] = elements
        return array.reshape(shape)
    if library is not None:
        array = library.frombuffer(body, dtype=_NUMPY[datatype], count=count, offset=at)
        if datatype == "BF16":
            array = (array.astype("<u4") << 16).view("<f4")
        return array.reshape(shape)
    if datatype == "BF16":
        halves = struct.unpack_from(f"<{count}H", body, at)
        values = struct.unpack(f"<{count}f", struct.pack(f"<{count}I", *[half << 16 for half in halves]))
    else:
        values = struct.unpack_from(f"<{count}{_FORMATS[datatype]}", body, at)
    return _nested(list(values), shape)


def _elements(body: bytes, at: int, end: int) -> Iterator[bytes]:
    while at < end:
        if at + 4 > end:
            raise Unfit("a BYTES input ends inside the length of an element")
        size = _LENGTH.unpack_from(body, at)[0]
        at += 4
        if at + size > end:
            raise Unfit("an element of a BYTES input is said to be longer than the input")
        yield body[at : at + size]
        at += size


def _nested(values: list[Any], shape: Sequence[int]) -> Any:
    if not shape:
        return values[0]
    for size in reversed(shape[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)] if size else []
    return values


# To the front.


class Encoder:
    """Knows what the model declares of its outputs: `[{"name", "datatype", "shape"}]`, perhaps none."""

    def __init__(self, outputs: Sequence[dict[str, Any]]) -> None:
        self._datatypes = {output["name"]: output["datatype"] for output in outputs}
        self._order = list(self._datatypes)

    def message(self, result: Any, model: str, version: str, asked: Tensors) -> tuple[bytes, list[Any]]:
        """The JSON and the buffers behind it. Raises Unfit where an output is not there, else TypeError, ValueError."""
        named = self._named(result)
        names = asked.outputs or list(named)
        outputs, buffers = [], []
        for name in names:
            if name not in named:
                raise Unfit(f"there is no output {name!r}; there are: {', '.join(named)}")
            datatype, shape, data = _raw(named[name], self._datatypes.get(name, ""))
            buffers.append(data)
            size = {"binary_data_size": len(data)}
            outputs.append({"name": name, "datatype": datatype, "shape": list(shape), "parameters": size})
        head: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
        if asked.id:
            head["id"] = asked.id
        return encode.to_json(head), buffers

    def _named(self, result: Any) -> dict[str, Any]:
        if type(result) is dict:
            return result
        if isinstance(result, collections.abc.Mapping):
            return {str(name): value for name, value in result.items()}
        several = len(self._order) > 1 and isinstance(result, (list, tuple))
        if several and len(result) == len(self._order):
            return dict(zip(self._order, result))
        return {self._order[0] if len(self._order) == 1 else "output": result}


def _raw(value: Any, declared: str) -> tuple[str, Sequence[int], Any]:
    """Datatype, shape and bytes of one output."""
    library = numpy()
    if library is None:
        return _raw_list(value, declared)
    if hasattr(value, "detach"):  # torch
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
            declared = declared or "BF16"
    array = library.asarray(value)
    if array.dtype.name == "bfloat16":  # of ml_dtypes
        return "BF16", array.shape, array.tobytes()
    if array.dtype.kind in "OSU" or declared == "BYTES":
        return "BYTES", array.shape, _joined(array.reshape(-1).tolist())
    if declared == "BF16":
        return "BF16", array.shape, _halves(array.astype("<f4"))
    datatype = declared or _NAMES.get(array.dtype.kind + str(array.dtype.itemsize), "")
    if not datatype:
        raise TypeError(f"an output of dtype {array.dtype} has no form in the Open Inference Protocol")
    flat = library.ascontiguousarray(array.reshape(-1), dtype=_NUMPY[datatype])
    return datatype, array.shape, memoryview(flat).cast("B") if array.size else b""


def _halves(array: Any) -> bytes:
    """The upper halves of 32-bit floats, rounded to nearest even."""
    bits = array.view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    data: bytes = rounded.astype("<u2").tobytes()
    return data


def _joined(elements: Sequence[Any]) -> bytes:
    parts = []
    for element in elements:
        data = element if isinstance(element, bytes) else str(element).encode("utf-8")
        parts += [_LENGTH.pack(len(data)), data]
    return b"".join(parts)


def _raw_list(value: Any, declared: str) -> tuple[str, Sequence[int], bytes]:
    """Of nested lists or one scalar, where there is no numpy."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    shape, flat = [], [value]
    while flat and isinstance(flat[0], (list, tuple)):
        if len({len(item) for item in flat}) != 1:
            raise ValueError("an output is a list of lists of different lengths")
        shape.append(len(flat[0]))
        flat = list(itertools.chain.from_iterable(flat))
    datatype = declared or _guess(flat)
    if datatype == "BYTES":
        return datatype, shape, _joined(flat)
    if datatype == "BF16":
        raise TypeError("BF16 outputs need numpy in the predictor's environment")
    if datatype not in ("FP16", "FP32", "FP64", "BOOL"):
        flat = [int(item) for item in flat]
    return datatype, shape, struct.pack(f"<{len(flat)}{_FORMATS[datatype]}", *flat)


def _guess(flat: Sequence[Any]) -> str:
    kinds = {type(item) for item in flat}
    if kinds and kinds <= {str, bytes}:
        return "BYTES"
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    if kinds <= {int, float}:
        return "FP64"
    raise TypeError("an output is no tensor: its elements are {}".format(", ".join(sorted(k.__name__ for k in kinds))))


def declared(value: Any) -> list[dict[str, Any]]:
    """What a class says of itself in `inputs` or `outputs`; empty when that is something else."""
    if not isinstance(value, (list, tuple)):
        return []
    found = []
    for item in value:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            return []
        datatype, shape = item.get("datatype"), item.get("shape")
        if datatype not in _FORMATS and datatype not in ("BYTES", "BF16"):
            return []
        if not isinstance(shape, (list, tuple)) or not all(isinstance(size, int) for size in shape):
            return []
        found.append({"name": item["name"], "datatype": datatype, "shape": list(shape)})
    return found


# For the clients of framework models.


def pack(name: str, value: Any, datatype: str) -> tuple[dict[str, Any], bytes]:
    """One tensor as the front takes it. Raises TypeError and ValueError."""
    found, shape, data = _raw(value, datatype)
    return {"name": name, "datatype": found, "shape": list(shape), "size": len(data)}, bytes(data)


def unpack(told: Sequence[dict[str, Any]], body: bytes) -> list[tuple[str, Any]]:
    """Names and arrays of what the front answered."""
    values, at = [], 0
    for tensor in told:
        values.append((tensor["name"], _value(numpy(), body, at, tensor["size"], tensor["datatype"], tensor["shape"])))
        at += tensor["size"]
    return values
