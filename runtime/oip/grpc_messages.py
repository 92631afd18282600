"""The protocol's messages as our words and back."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf import json_format, message

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from runtime import grpc_bounds, grpc_messages
from runtime.inference import InferError, InferRequest, InferResponse, ModelMetadata, Tensor
from runtime.oip import parameters, shared_memory, tensors

_FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip

# Room for the tensors that tensors.check_number allows. Typed contents count by their size, so that there are at most
# 16 MiB of them, as of JSON.
_MOST_PARTS = 64 * 1024
_BY_SIZE = {pb.InferTensorContents.DESCRIPTOR.full_name: 256}
_TOO_MANY = f"the message has more than {_MOST_PARTS} fields, or 16 MiB of typed contents; send tensors raw"
_RAW = pb.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number

Places = dict[str, shared_memory.Place]
Regions = Callable[[], shared_memory.Regions]


def is_large(data: bytes) -> bool:
    """Whether a ModelInferRequest is for the scribe. Raises InferError."""
    return grpc_messages.is_large(data, _RAW)


def parsed(kind: Any, data: bytes) -> Any:
    """Raises InferError for what is no message, and for more fields than its parsing should cost."""
    try:
        if grpc_bounds.exceeds(data, _plan(kind), _MOST_PARTS):
            raise InferError(400, _TOO_MANY, "PAYLOAD_MALFORMED")
        return kind.FromString(data)
    except message.DecodeError:
        raise InferError(400, "the bytes of the request are no message of this RPC", "PAYLOAD_MALFORMED") from None


@functools.cache
def _plan(kind: Any) -> grpc_bounds.Plan:
    return grpc_bounds.plan(kind.DESCRIPTOR, _BY_SIZE)


def plain(data: bytes) -> bytes:
    """The same ModelInferRequest with all its data raw, so that little is left to parse. Raises as `request` does."""
    told = parsed(pb.ModelInferRequest, data)
    told.DiscardUnknownFields()
    tensors.check_number(len(told.inputs), len(told.outputs))
    parameters.checked(_values(told.parameters))
    for given in told.inputs:
        tensors.count(given.name, given.datatype, given.shape)
    for described in (*told.inputs, *told.outputs):
        for name in set(described.parameters) - shared_memory.PARAMETERS:
            del described.parameters[name]
    places = _places_of(told)
    if not told.raw_input_contents:
        held = [_input(given, None).data for given, place in zip(told.inputs, places, strict=True) if place is None]
        told.raw_input_contents.extend(held)
        for given in told.inputs:
            given.ClearField("contents")
    elif any(given.contents.ByteSize() for given in told.inputs):
        raise InferError(400, "there are contents besides raw_input_contents; send one of them")
    plain_bytes: bytes = told.SerializeToString()
    return plain_bytes


def _places_of(told: pb.ModelInferRequest) -> list[shared_memory.Place | None]:
    """Of the inputs, None for those whose data is in the message."""
    found = [shared_memory.place(given.name, _values(given.parameters)) for given in told.inputs]
    raw = told.raw_input_contents
    if raw and len(raw) != found.count(None):
        text = f"there are {found.count(None)} inputs and {len(raw)} raw_input_contents"
        raise InferError(400, f"{text}; send all inputs raw, or all typed")
    return found


def request(told: pb.ModelInferRequest, regions: Regions) -> tuple[InferRequest, Places]:
    """The request, and where outputs go that go to shared memory. Raises InferError; every size was checked."""
    tensors.check_number(len(told.inputs), len(told.outputs))
    raw, elsewhere = told.raw_input_contents, _places_of(told)
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
    asked = [(output.name, _values(output.parameters)) for output in told.outputs]
    for name, wanted in asked:
        parameters.check_output(name, wanted)
    places = ((name, shared_memory.place(name, wanted)) for name, wanted in asked)
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
    answer = pb.ModelInferResponse(model_name=told.model, model_version=told.version, id=told.id)
    _set(answer.parameters, told.parameters)
    for tensor in told.outputs:
        output = answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        _set(output.parameters, tensor.parameters)
        if "shared_memory_region" not in tensor.parameters:
            answer.raw_output_contents.append(bytes(tensor.data))
    return answer


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
    answer = pb.ModelMetadataResponse(name=told.name, versions=told.versions, platform=told.platform)
    for target, declared in ((answer.inputs, told.inputs), (answer.outputs, told.outputs)):
        for tensor in declared:
            target.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    return answer


def config(told: Mapping[str, Any]) -> pb.ModelConfigResponse:
    return pb.ModelConfigResponse(config=_filled(told, pb.ModelConfig()))


def statistics(told: Iterable[Mapping[str, Any]]) -> pb.ModelStatisticsResponse:
    return pb.ModelStatisticsResponse(model_stats=[_filled(entry, pb.ModelStatistics()) for entry in told])


def _filled(told: Mapping[str, Any], target: Any) -> Any:
    # The pool is the protocol's own; its messages hold no Any that would have to be looked up elsewhere.
    return json_format.ParseDict(dict(told), target, ignore_unknown_fields=True)


def repository_parameters(told: Mapping[str, Any]) -> dict[str, Any]:
    return _values(told)
