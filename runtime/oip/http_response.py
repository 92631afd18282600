"""Responses of infer as HTTP bodies: JSON, and tensors behind it for who asked for binary data."""

from collections.abc import Sequence
from typing import Any

from runtime.inference import InferResponse, Tensor
from runtime.oip import strict_json, tensors
from runtime.oip.http_request import Wish

JSON = b"application/json"
BINARY = b"application/octet-stream"
LENGTH_HEADER = b"inference-header-content-length"

Reply = tuple[bytes, bytes, list[tuple[bytes, bytes]]]  # content type, body, headers


def reply(response: InferResponse, wish: Wish) -> Reply:
    """Raises InferError for an output that JSON cannot carry."""
    packed = response.packed
    if packed is not None and wish.all_binary:
        return BINARY, packed[1], [(LENGTH_HEADER, b"%d" % packed[0])]
    binary: list[bytes | bytearray | memoryview] = []
    outputs = [_output(tensor, binary if wish.is_binary(tensor.name) else None) for tensor in response.outputs]
    head = strict_json.encode(described(response, outputs))
    if not binary and not (response.outputs and wish.all_binary):
        return JSON, head, []
    return BINARY, b"".join([head, *binary]), [(LENGTH_HEADER, b"%d" % len(head))]


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
    if binary is not None:
        parameters["binary_data_size"] = len(tensor.data)
        binary.append(tensor.data)
    if parameters:
        told["parameters"] = parameters
    if binary is None:
        told["data"] = tensors.to_values(tensor)
    return told
