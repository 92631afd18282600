"""Tensors on their way to a Python worker and back: JSON and the raw data behind it (runtime/shim/tensors.py)."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from runtime import slabs
from runtime.inference import InferError, InferRequest, InferResponse, Tensor
from runtime.oip import datatypes
from runtime.shim import tensors as shim

_TYPE = shim.TYPE.encode() + b"; header=%d"


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any]


class _Head(msgspec.Struct):
    model_name: str
    model_version: str
    outputs: list[_Output]
    id: str = ""


_DECODER = msgspec.json.Decoder(_Head)


def request(infer: InferRequest) -> tuple[bytes, "bytes | slabs.Loan"]:
    """Content type and body. A request that came in this form goes on as it is."""
    if infer.packed is not None:
        size, body = infer.packed
        return _TYPE % size, body
    inputs = [
        {"name": t.name, "datatype": t.datatype, "shape": list(t.shape), "size": len(t.data)} for t in infer.inputs
    ]
    told = {"id": infer.id, "inputs": inputs, "outputs": list(infer.outputs), "parameters": dict(infer.parameters)}
    head = msgspec.json.encode(told)
    return _TYPE % len(head), b"".join([head, *[tensor.data for tensor in infer.inputs]])


def response(content_type: str, body: bytes) -> InferResponse:
    """What a worker answered. Raises InferError when that is something else than tensors."""
    kind, _, size = content_type.partition("; header=")
    if kind != shim.TYPE:
        told = f"the predictor answered with {kind or 'nothing'}, which cannot be told as tensors"
        raise InferError(500, told, "PREDICTOR_FAILED")
    return _message(int(size), body)


def _message(head_size: int, body: bytes) -> InferResponse:
    view = memoryview(body)
    head = _DECODER.decode(view[:head_size])
    at, outputs = head_size, []
    for told in head.outputs:
        size = told.parameters["binary_data_size"]
        outputs.append(Tensor(told.name, told.datatype, told.shape, view[at : at + size]))
        at += size
    return InferResponse(head.model_name, head.model_version, head.id, outputs, packed=(head_size, body))


async def responses(chunks: AsyncIterator[bytes]) -> AsyncIterator[InferResponse]:
    """The messages of a stream, however they were cut."""
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        while (message := _first(rest)) is not None:
            yield message


def only(rest: bytearray) -> InferResponse:
    """The single message of a stream. Raises InferError when there are more, or none."""
    found = _first(rest)
    if found is None or rest:
        told = "the predictor did not yield exactly one response; generate_stream and the streaming RPC take several"
        raise InferError(400, told)
    found.final = True
    return found


def _first(rest: bytearray) -> InferResponse | None:
    """Takes the first message out of `rest`, once it is whole."""
    begin = shim.STREAM_HEAD.size
    if len(rest) < begin:
        return None
    head, size = shim.STREAM_HEAD.unpack_from(rest)
    end = begin + head + size
    if len(rest) < end:
        return None
    message = _message(head, bytes(memoryview(rest)[begin:end]))
    message.final = False
    del rest[:end]
    return message


def fits(tensor: Tensor) -> bool:
    """Whether a worker's output has the bytes its shape asks for."""
    size = datatypes.SIZES.get(tensor.datatype)
    if size is None:
        return False
    elements = 1
    for dimension in tensor.shape:
        elements *= dimension
    return size == 0 or len(tensor.data) == elements * size
