"""Requests and answers as Triton's gRPC messages, with large tensors left in shared memory."""

import math
import time
from collections.abc import Mapping
from typing import Any

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from runtime.inference import InferError, InferRequest, InferResponse, Tensor
from runtime.triton.checks import SIZES
from runtime.triton.shared_memory import Loan

# What a caller must not be able to say to Triton: its names of regions, and the limits that are kept before it.
_OURS = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "timeout", "priority", "headers")
CALL = "cortex_call"  # backends/_shared/cortex_cancelled.py
_Parameters = Mapping[str, "bool | int | float | str"]


def message(request: InferRequest, version: str, loan: Loan | None = None) -> pb.ModelInferRequest:
    """`loan` holds the tensors that go by shared memory."""
    made = pb.ModelInferRequest(model_name=request.model, model_version=version, id=request.id)
    _set(made.parameters, request.parameters)
    if request.deadline:
        made.parameters["timeout"].int64_param = microseconds_left(request)
    for tensor in request.inputs:
        told = made.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        _set(told.parameters, tensor.parameters)
        place = loan.put(tensor) if loan is not None else None
        if place is None:
            made.raw_input_contents.append(bytes(tensor.data))
        else:
            _place(told.parameters, *place)
    outputs = loan.outputs() if loan is not None else ((name, None) for name in request.outputs)
    for name, room in outputs:
        asked = made.outputs.add(name=name)
        if room is not None:
            _place(asked.parameters, *room)
    return made


def response(told: pb.ModelInferResponse, request_id: str, loan: Loan | None = None) -> InferResponse:
    raw = iter(told.raw_output_contents)
    outputs = []
    for output in told.outputs:
        data = next(raw, b"")  # empty for what lies in shared memory
        if loan is not None:
            data = loan.take(output.name, SIZES.get(output.datatype, 0) * math.prod(output.shape)) or data
        outputs.append(Tensor(output.name, output.datatype, list(output.shape), data))
    parameters = {name: _value(value) for name, value in told.parameters.items()}
    final = bool(parameters.pop("triton_final_response", True))
    return InferResponse(told.model_name, told.model_version, request_id, outputs, parameters, final)


def passed(parameters: _Parameters) -> dict[str, "bool | int | float | str"]:
    """Those a caller may say to Triton."""
    return {
        name: value
        for name, value in parameters.items()
        if name not in _OURS and not name.startswith(("triton_", "binary_data", CALL))
    }


def microseconds_left(request: InferRequest) -> int:
    """Until its deadline, as Triton wants it told; 0 would be no deadline."""
    return max(1, int((request.deadline - time.monotonic()) * 1e6))


def _set(target: Any, parameters: _Parameters) -> None:
    for name, value in passed(parameters).items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise InferError(400, f"parameter {name!r} does not fit into 64 bits")
            target[name].int64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        else:
            target[name].string_param = str(value)


def _place(target: Any, region: str, offset: int, size: int) -> None:
    target["shared_memory_region"].string_param = region
    target["shared_memory_offset"].int64_param = offset
    target["shared_memory_byte_size"].int64_param = size


def _value(told: pb.InferParameter) -> "bool | int | float | str":
    kind = told.WhichOneof("parameter_choice")
    value: bool | int | float | str = getattr(told, kind) if kind else ""
    return value
