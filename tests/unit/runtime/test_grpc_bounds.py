"""Fields of a message are counted as its parser would find them, without looking into strings and bytes."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format, message, struct_pb2

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2 as predictions
from runtime import grpc_bounds, grpc_messages
from runtime.inference import InferError
from runtime.oip import grpc_messages as oip_messages

CONTENTS = pb.InferTensorContents.DESCRIPTOR.full_name
PLAN = grpc_bounds.plan(pb.ModelInferRequest.DESCRIPTOR, {CONTENTS: 100})
PREDICT = grpc_bounds.plan(predictions.PredictRequest.DESCRIPTOR)


def fields(data: bytes, kind: grpc_bounds.Plan) -> int:
    return next(most for most in range(len(data) + 1) if not grpc_bounds.exceeds(data, kind, most))


def sized(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def test_what_is_in_messages_is_counted() -> None:
    request = pb.ModelInferRequest(model_name="m", raw_input_contents=[b"\x2a\0" * 50, b""])
    request.inputs.add(name="x", datatype="FP32", shape=[2, 3, 4])
    request.parameters["p"].int64_param = 1
    # The name, two raw contents; the input with two texts and its shape, a field and three numbers; the parameter's
    # entry, its name, its value and the number in that.
    assert fields(request.SerializeToString(), PLAN) == 3 + 3 + (1 + 3) + 4


def test_typed_contents_are_judged_by_their_size() -> None:
    request = pb.ModelInferRequest()
    request.inputs.add().contents.bytes_contents.extend([b""] * 500)
    assert fields(request.SerializeToString(), PLAN) == 2 + 10


def test_messages_in_their_own_kind() -> None:
    value = json_format.Parse('[[[1, null], "\\n\\n\\n\\n"], {"a": 2}]', struct_pb2.Value())
    request = predictions.PredictRequest(json=value)
    # The value and its list: of a value, its list of (a value, its list of two values and what is in them) and (a value
    # and its text); of a value, its structure, the entry, the name, the value and the number in it.
    assert fields(request.SerializeToString(), PREDICT) == 2 + (2 + (2 + 4) + 2) + 6


@pytest.mark.parametrize("inside", [b"", sized(5, b""), b"\x0b\x0c", b"\x08\x01", b"\x0d0000", b"\x0900000000"])
def test_every_way_to_write_a_field(inside: bytes) -> None:
    """Within a group, with a number as long as it may be, and behind a field of any kind."""
    data = b"\xaa\x80\x00\x80\x80\x00" + inside + sized(5, sized(4, b"") * 3)
    assert pb.ModelInferRequest.FromString(data).inputs[-1].parameters
    assert fields(data, PLAN) == 5 + (0 if not inside else 2 if inside == b"\x0b\x0c" else 1)


@pytest.mark.parametrize(
    "data", [b"\x2a", b"\x2a\x05", b"\x2a\x02\x22\x01", b"\x0f", b"\x80" * 11, b"\x0d\0", b"\x08\x80"]
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(message.DecodeError):
        pb.ModelInferRequest.FromString(data)
    with pytest.raises(message.DecodeError):
        grpc_bounds.exceeds(data, PLAN, 0)
        grpc_bounds.exceeds(data, PLAN, len(data) - 1)


def parsed_fields(told: Any) -> Iterator[int]:
    """At least one for each part of a parsed message that has memory of its own."""
    for field, value in told.ListFields():
        many = value if isinstance(value, str | bytes) or not hasattr(value, "__len__") else list(value)
        yield len(many) if isinstance(many, list) else 1
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            many = [value[name] for name in value] if kind.fields_by_name["value"].message_type else []
        for part in many if isinstance(many, list) else [many]:
            if isinstance(part, message.Message):
                yield from parsed_fields(part)


def test_no_parsed_message_has_more_than_was_counted() -> None:
    chosen = random.Random(7)
    compared = 0
    for _ in range(4000):
        data = _message(chosen, 0)
        try:
            told = pb.ModelInferRequest.FromString(data)
        except message.DecodeError:
            continue
        least = sum(parsed_fields(told))
        plan = grpc_bounds.plan(pb.ModelInferRequest.DESCRIPTOR)
        if 0 < least <= len(data):
            assert grpc_bounds.exceeds(data, plan, least - 1), data.hex()
            compared += 1
    assert compared > 500


def _message(chosen: random.Random, depth: int) -> bytes:
    found = b""
    for _ in range(chosen.randrange(6)):
        number, wire = chosen.randrange(1, 9), chosen.choice((0, 1, 2, 2, 2, 2, 2, 5))
        content = {0: b"\x01", 1: bytes(8), 5: bytes(4)}.get(wire)
        if content is None:
            inner = _message(chosen, depth + 1) if depth < 4 else b"ab"
            content = varint(len(inner)) + inner
        found += bytes([number << 3 | wire]) + content
    return found


def test_the_rest_of_a_message() -> None:
    data = sized(7, bytes(1000)) + sized(1, b"name") + b"\x08\x01\x0d0000\x0b\x0c" + sized(7, b"")
    assert grpc_bounds.without(data, 7, 7) == len(data) - 1000
    assert grpc_bounds.without(data, 7, 6) is None
    for broken in (data[:-1], data + b"\x0d\0", data + b"\x0f"):
        with pytest.raises(message.DecodeError):
            grpc_bounds.without(broken, 7, 100)


def test_requests_of_too_many_fields() -> None:
    half = b"\x0a\0" * 2**20
    with pytest.raises(InferError, match="1048576 fields; send JSON as `body`"):
        grpc_messages.with_body(sized(1, sized(6, half)))
    assert grpc_messages.told(sized(2, half)) == (predictions.PredictRequest(body=half), False)
    parameters, texts = b"\x22\0" * 2**16, b"\x42\0" * 2**23
    for content in (parameters, sized(5, texts)):
        with pytest.raises(InferError, match="65536 fields, or 16 MiB of typed contents; send tensors raw"):
            oip_messages.plain(sized(5, content))
    with pytest.raises(InferError, match="65536 fields"):
        oip_messages.parsed(pb.TraceSettingRequest, sized(1, sized(2, b"\x0a\0" * 2**16)))
