"""Responses of infer as HTTP bodies: JSON, and tensors behind it for who asked for binary data."""

from collections.abc import Sequence
from typing import Any

from runtime.inference import InferResponse, Tensor
from runtime.oip import shared_memory, strict_json, tensors
from runtime.oip.http_request import Regions, Wish
from runtime.scribe import INLINE_BYTES, Scribe

JSON = b"application/json"
BINARY = b"application/octet-stream"
LENGTH_HEADER = b"inference-header-content-length"

Reply = tuple[bytes, bytes, list[tuple[bytes, bytes]]]  # content type, body, headers


def reply(response: InferResponse, wish: Wish, regions: Regions) -> Reply:
    """Raises InferError for an output that JSON cannot carry."""
    if wish.places:
        response = _placed(response, wish, regions())
    packed = response.packed
    if packed is not None and wish.all_binary:
        return BINARY, packed[1], [(LENGTH_HEADER, b"%d" % packed[0])]
    binary: list[bytes | bytearray | memoryview] = []
    outputs = [_output(tensor, binary if wish.is_binary(tensor.name) else None) for tensor in response.outputs]
    head = strict_json.encode(described(response, outputs))
    if not binary and not (response.outputs and wish.all_binary):
        return JSON, head, []
    return BINARY, b"".join([head, *binary]), [(LENGTH_HEADER, b"%d" % len(head))]


def is_large(response: InferResponse, wish: Wish | None) -> bool:
    """Whether its JSON is for the scribe. Without a wish all of it is JSON."""
    size = 0
    for tensor in response.outputs:
        if wish is None or not wish.is_binary(tensor.name):
            size += len(tensor.data)
    return size > INLINE_BYTES


async def large_reply(scribe: Scribe, response: InferResponse, wish: Wish, regions: Regions) -> Reply:
    """As `reply`, which the scribe does."""
    if wish.places:
        response = _placed(response, wish, regions())
    return await scribe.ask(reply, alone(response), wish.without_places(), _no_regions)


def alone(response: InferResponse) -> InferResponse:
    """A copy that can go to another process."""
    outputs = [Tensor(t.name, t.datatype, t.shape, bytes(t.data), t.parameters) for t in response.outputs]
    return InferResponse(response.model, response.version, response.id, outputs, response.parameters, response.final)


def _no_regions() -> shared_memory.Regions:
    raise AssertionError("what goes to shared memory is there already")


def _placed(response: InferResponse, wish: Wish, regions: shared_memory.Regions) -> InferResponse:
    """With the outputs that have a place there written to shared memory."""
    outputs = [placed(tensor, wish.places.get(tensor.name), regions) for tensor in response.outputs]
    return InferResponse(response.model, response.version, response.id, outputs, response.parameters)


def placed(tensor: Tensor, place: shared_memory.Place | None, regions: shared_memory.Regions) -> Tensor:
    if place is None:
        return tensor
    regions.write(place, tensor.data)
    told: dict[str, bool | int | float | str] = {
        "shared_memory_region": place.region,
        "shared_memory_byte_size": len(tensor.data),
    }
    if place.offset:
        told["shared_memory_offset"] = place.offset
    return Tensor(tensor.name, tensor.datatype, tensor.shape, b"", told)


def event(response: InferResponse) -> bytes:
    """A response as a server-sent event: all of it JSON."""
    outputs = [_output(tensor, None) for tensor in response.outputs]
    return b"data: %b\n\n" % strict_json.encode(described(response, outputs))


def described(response: InferResponse, outputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        told["id"] = response.id
    if response.parameters:
        told["parameters"] = dict(response.parameters)
    told["outputs"] = outputs
    return told


def _output(tensor: Tensor, binary: "list[bytes | bytearray | memoryview] | None") -> dict[str, Any]:
    told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    parameters = dict(tensor.parameters)
    if "shared_memory_region" in parameters:
        return {**told, "parameters": parameters}
    if binary is not None:
        parameters["binary_data_size"] = len(tensor.data)
        binary.append(tensor.data)
    if parameters:
        told["parameters"] = parameters
    if binary is None:
        told["data"] = tensors.to_values(tensor)
    return told
