"""The body of an infer request: JSON, with the data of tensors inside it or as binary behind it."""

import copy
from collections.abc import Callable
from typing import Any

import msgspec

from runtime import slabs
from runtime.inference import InferError, InferRequest, Tensor
from runtime.oip import parameters, shared_memory, strict_json, tensors
from runtime.scribe import INLINE_BYTES

_NO_DATA = msgspec.Raw(b"")
# All that is read of the parameters of a tensor.
_TENSOR_PARAMETERS = ("binary_data", "binary_data_size", "classification", *shared_memory.PARAMETERS)


class InputJson(msgspec.Struct, omit_defaults=True):
    """One of `inputs`."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw = _NO_DATA


class OutputJson(msgspec.Struct, omit_defaults=True):
    """One of `outputs`."""

    name: str
    parameters: dict[str, Any] | None = None


class RequestJson(msgspec.Struct, omit_defaults=True):
    """What the JSON of a request may have; more is ignored, as newer clients may say more."""

    inputs: list[InputJson]
    id: str = ""
    outputs: list[OutputJson] | None = None
    parameters: dict[str, Any] | None = None


class Wish:
    """How the caller wants the response: which outputs as binary data."""

    __slots__ = ("all_binary", "binary", "places")

    def __init__(self, told: RequestJson) -> None:
        self.places: dict[str, shared_memory.Place] = {}
        default = (told.parameters or {}).get("binary_data_output", False)
        if not isinstance(default, bool):
            raise InferError(400, "parameter 'binary_data_output' must be true or false")
        outputs = told.outputs or []
        for output in outputs:
            if output.parameters and (place := shared_memory.place(output.name, output.parameters)):
                self.places[output.name] = place
        self.binary = {output.name: _wants_binary(output, default) for output in outputs}
        self.all_binary = (all(self.binary.values()) if outputs else default) and not self.places

    def is_binary(self, name: str) -> bool:
        return self.binary.get(name, self.all_binary)

    def without_places(self) -> "Wish":
        """For a response whose outputs are where they were to go."""
        found = copy.copy(self)
        found.places = {}
        return found


def _wants_binary(output: OutputJson, default: bool) -> bool:
    told = output.parameters or {}
    parameters.check_output(output.name, told)
    wanted = told.get("binary_data", default)
    if not isinstance(wanted, bool):
        raise InferError(400, f"output {output.name!r}: parameter 'binary_data' must be true or false")
    return wanted


_DECODER = msgspec.json.Decoder(RequestJson)


Body = bytes | slabs.Loan


def split(body: Body, told: bytes) -> tuple["bytes | memoryview", "memoryview | None"]:
    """JSON and binary parts by the header Inference-Header-Content-Length. Raises InferError."""
    if not told:
        return bytes(body), None
    if not told.isdigit() or len(told) > 18 or int(told) > len(body):
        shown = told[:40].decode("latin-1")
        raise InferError(
            400, f"inference-header-content-length is {shown!r}; it must be a number up to the body's size, {len(body)}"
        )
    view = body.view() if isinstance(body, slabs.Loan) else memoryview(body)
    return view[: int(told)], view[int(told) :]


Regions = Callable[[], shared_memory.Regions]


def is_large(body: Body, told: bytes) -> bool:
    """Whether its JSON is for the scribe; `told` is the header Inference-Header-Content-Length."""
    return len(body) > INLINE_BYTES and (not told.isdigit() or len(told) > 18 or int(told) > INLINE_BYTES)


def binary(body: Body, json_size: bytes) -> tuple[bytes, bytes]:
    """The same request with little JSON: what was data in it is binary behind it. Raises as `parse` does."""
    text, behind = split(body, json_size)
    told = strict_json.decode(_DECODER, text)
    tensors.check_number(len(told.inputs), len(told.outputs or ()))
    parts, at = [], 0
    for described in (*told.inputs, *(told.outputs or ())):
        said = described.parameters or {}
        described.parameters = {name: said[name] for name in _TENSOR_PARAMETERS if name in said}
    for given in told.inputs:
        said = given.parameters or {}
        if said.get("binary_data_size") is None and shared_memory.place(given.name, said) is not None:
            continue
        tensor, size = _tensor(given, behind, at, _no_regions)
        at += size
        parts.append(tensor.data)
        given.parameters, given.data = {"binary_data_size": len(tensor.data)}, _NO_DATA
    _check_used(at, behind)
    parameters.checked(told.parameters)
    head = msgspec.json.encode(told)
    return b"".join([head, *parts]), b"%d" % len(head)


def _no_regions() -> shared_memory.Regions:
    raise AssertionError("inputs in shared memory are left where they are")


def parse(body: Body, json_size: bytes, model: str, version: str, regions: Regions) -> tuple[InferRequest, Wish]:
    """Raises InferError 400 or 413; every size in the result was checked. `regions` raises for who may not."""
    text, behind = split(body, json_size)
    told = strict_json.decode(_DECODER, text)
    tensors.check_number(len(told.inputs), len(told.outputs or ()))
    at, found, packed = 0, [], behind is not None
    for given in told.inputs:
        tensor, size = _tensor(given, behind, at, regions)
        found.append(tensor)
        at += size
        packed = packed and size > 0
    _check_used(at, behind)
    tensors.check_distinct(found)
    names = [output.name for output in told.outputs or ()]
    if len(set(names)) != len(names):
        raise InferError(400, "two requested outputs have the same name")
    request = InferRequest(model, version, told.id, found, names, parameters.checked(told.parameters))
    if packed:
        request.packed = len(text), body
    return request, Wish(told)


def _check_used(used: int, behind: "memoryview | None") -> None:
    if behind is not None and used != len(behind):
        raise InferError(400, f"the body has {len(behind)} bytes of binary data; the inputs use {used} of them")


def _tensor(given: InputJson, behind: "memoryview | None", at: int, regions: Regions) -> tuple[Tensor, int]:
    told = given.parameters or {}
    size = told.get("binary_data_size")
    if size is None:
        if (place := shared_memory.place(given.name, told)) is not None:
            tensors.check_size(given.name, given.datatype, given.shape, place.size)
            return Tensor(given.name, given.datatype, given.shape, regions().read(place)), 0
        if given.data is _NO_DATA:
            raise InferError(400, f"input {given.name!r} has no data")
        data = tensors.from_json(given.name, given.datatype, given.shape, given.data)
        return Tensor(given.name, given.datatype, given.shape, data), 0
    if given.data is not _NO_DATA:
        raise InferError(400, f"input {given.name!r} has data as JSON and as binary; send one of them")
    if type(size) is not int or size < 0:
        raise InferError(400, f"input {given.name!r}: binary_data_size must be a number of bytes")
    if behind is None:
        told_name = given.name
        raise InferError(400, f"input {told_name!r} is binary, but there is no header inference-header-content-length")
    if at + size > len(behind):
        raise InferError(400, f"input {given.name!r} is said to have {size} bytes; the body ends before")
    tensors.check_size(given.name, given.datatype, given.shape, size)
    return Tensor(given.name, given.datatype, given.shape, behind[at : at + size]), size
