"""The protocol's messages as our words and back."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf import json_format

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from runtime.inference import InferError, InferRequest, InferResponse, ModelMetadata, Tensor
from runtime.oip import parameters, shared_memory, tensors

_FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip

Places = dict[str, shared_memory.Place]
Regions = Callable[[], shared_memory.Regions]


def request(told: pb.ModelInferRequest, regions: Regions) -> tuple[InferRequest, Places]:
    """The request, and where outputs go that go to shared memory. Raises InferError; every size was checked."""
    tensors.check_number(len(told.inputs), len(told.outputs))
    raw = told.raw_input_contents
    elsewhere = [shared_memory.place(given.name, _values(given.parameters)) for given in told.inputs]
    if raw and len(raw) != elsewhere.count(None):
        raise InferError(400, f"there are {elsewhere.count(None)} inputs and {len(raw)} raw_input_contents")
    parts = iter(raw)
    found = []
    for given, place in zip(told.inputs, elsewhere, strict=True):
        data = regions().read(place) if place is not None else next(parts) if raw else None
        found.append(_input(given, data))
    tensors.check_distinct(found)
    names = [output.name for output in told.outputs]
    if len(set(names)) != len(names):
        raise InferError(400, "two requested outputs have the same name")
    said = parameters.checked(_values(told.parameters))
    places = ((output.name, shared_memory.place(output.name, _values(output.parameters))) for output in told.outputs)
    request = InferRequest(told.model_name, told.model_version, told.id, found, names, said)
    return request, {name: place for name, place in places if place is not None}


def _input(given: pb.ModelInferRequest.InferInputTensor, raw: "bytes | None") -> Tensor:
    name, datatype, shape = given.name, given.datatype, tuple(given.shape)
    if raw is not None:
        if given.HasField("contents") and given.contents.ByteSize():
            raise InferError(400, f"input {name!r} has contents besides raw_input_contents; send one of them")
        tensors.check_size(name, datatype, shape, len(raw))
        return Tensor(name, datatype, shape, raw)
    return Tensor(name, datatype, shape, _contents(given, tensors.count(name, datatype, shape)))


def _contents(given: pb.ModelInferRequest.InferInputTensor, elements: int) -> bytes:
    field = _FIELDS.get(given.datatype)
    if field is None:
        raise InferError(400, f"input {given.name!r}: {given.datatype} has no typed contents; send it raw")
    values: Any = getattr(given.contents, field)
    if len(values) != elements or len(given.contents.ListFields()) > 1:
        told = f"input {given.name!r} of shape {list(given.shape)} must have {elements} elements in {field}"
        raise InferError(400, f"{told}; it has {len(values)}")
    if given.datatype == "BYTES":
        return tensors.pack_bytes(values)
    return tensors.pack(given.name, given.datatype, values)


def _values(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: getattr(value, kind) for name, value in told.items() if (kind := value.WhichOneof("parameter_choice"))
    }


def response(told: InferResponse) -> pb.ModelInferResponse:
    message = pb.ModelInferResponse(model_name=told.model, model_version=told.version, id=told.id)
    _set(message.parameters, told.parameters)
    for tensor in told.outputs:
        output = message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        _set(output.parameters, tensor.parameters)
        if "shared_memory_region" not in tensor.parameters:
            message.raw_output_contents.append(bytes(tensor.data))
    return message


def _set(target: Any, told: Mapping[str, Any]) -> None:
    for name, value in told.items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            target[name].int64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        else:
            target[name].string_param = str(value)


def metadata(told: ModelMetadata) -> pb.ModelMetadataResponse:
    message = pb.ModelMetadataResponse(name=told.name, versions=told.versions, platform=told.platform)
    for target, declared in ((message.inputs, told.inputs), (message.outputs, told.outputs)):
        for tensor in declared:
            target.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    return message


def config(told: Mapping[str, Any]) -> pb.ModelConfigResponse:
    return pb.ModelConfigResponse(config=_parsed(told, pb.ModelConfig()))


def statistics(told: Iterable[Mapping[str, Any]]) -> pb.ModelStatisticsResponse:
    return pb.ModelStatisticsResponse(model_stats=[_parsed(entry, pb.ModelStatistics()) for entry in told])


def _parsed(told: Mapping[str, Any], message: Any) -> Any:
    # The pool is the protocol's own; its messages hold no Any that would have to be looked up elsewhere.
    return json_format.ParseDict(dict(told), message, ignore_unknown_fields=True)


def repository_parameters(told: Mapping[str, Any]) -> dict[str, Any]:
    return _values(told)
