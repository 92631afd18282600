"""The body of an infer request: JSON, with the data of tensors inside it or as binary behind it."""

from collections.abc import Callable
from typing import Any

import msgspec

from runtime import slabs
from runtime.inference import InferError, InferRequest, Tensor
from runtime.oip import parameters, shared_memory, strict_json, tensors

_NO_DATA = msgspec.Raw(b"")


class InputJson(msgspec.Struct):
    """One of `inputs`."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw = _NO_DATA


class OutputJson(msgspec.Struct):
    """One of `outputs`."""

    name: str
    parameters: dict[str, Any] | None = None


class RequestJson(msgspec.Struct):
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


def _wants_binary(output: OutputJson, default: bool) -> bool:
    told = output.parameters or {}
    if told.get("classification"):
        raise InferError(400, f"output {output.name!r}: the classification extension is not supported")
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


def parse(body: Body, json_size: bytes, model: str, version: str, regions: Regions) -> tuple[InferRequest, Wish]:
    """Raises InferError 400 or 413; every size in the result was checked. `regions` raises for who may not."""
    text, binary = split(body, json_size)
    told = strict_json.decode(_DECODER, text)
    tensors.check_number(len(told.inputs), len(told.outputs or ()))
    at, found, packed = 0, [], binary is not None
    for given in told.inputs:
        tensor, size = _tensor(given, binary, at, regions)
        found.append(tensor)
        at += size
        packed = packed and size > 0
    if binary is not None and at != len(binary):
        raise InferError(400, f"the body has {len(binary)} bytes of binary data; the inputs use {at} of them")
    tensors.check_distinct(found)
    names = [output.name for output in told.outputs or ()]
    if len(set(names)) != len(names):
        raise InferError(400, "two requested outputs have the same name")
    request = InferRequest(model, version, told.id, found, names, parameters.checked(told.parameters))
    if packed:
        request.packed = len(text), body
    return request, Wish(told)


def _tensor(given: InputJson, binary: "memoryview | None", at: int, regions: Regions) -> tuple[Tensor, int]:
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
    if binary is None:
        told_name = given.name
        raise InferError(400, f"input {told_name!r} is binary, but there is no header inference-header-content-length")
    if at + size > len(binary):
        raise InferError(400, f"input {given.name!r} is said to have {size} bytes; the body ends before")
    tensors.check_size(given.name, given.datatype, given.shape, size)
    return Tensor(given.name, given.datatype, given.shape, binary[at : at + size]), size
