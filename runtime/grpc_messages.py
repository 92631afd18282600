"""Between PredictionService's messages and the fields of a request frame."""

import json
import urllib.parse
from collections.abc import Mapping

from google.protobuf import json_format, message, struct_pb2

from cortex.runtime.v1 import prediction_service_pb2 as pb
from runtime import grpc_bounds, proto_json
from runtime.errors import InferError
from runtime.scribe import INLINE_BYTES

# More fields than this have no meaning in any message of ours, and each costs its reader.
_MOST_FIELDS = 4 * 1024 + 256
# With those in the messages inside: as many make half a million numbers of a list in `json`.
_MOST_PARTS = 1024 * 1024
_TOO_MANY = f"the message has more than {_MOST_PARTS} fields; send JSON as `body`, with content_type application/json"
_PLAN = grpc_bounds.plan(pb.PredictRequest.DESCRIPTOR)
_BODY = pb.PredictRequest.DESCRIPTOR.fields_by_name["body"].number
_TEXTS = ("text/plain", "text/plain; charset=utf-8", "text/plain;charset=utf-8")


def is_large(data: bytes, bulk: int) -> bool:
    """Whether a message is for the scribe: what is not its field number `bulk`, which costs nothing to parse.

    What cannot be followed is left to it, too. Raises InferError for more fields than mean anything.
    """
    if len(data) <= INLINE_BYTES:
        return False
    try:
        rest = grpc_bounds.without(data, bulk, _MOST_FIELDS)
    except message.DecodeError:
        return True
    if rest is None:
        raise InferError(400, f"the message has more than {_MOST_FIELDS} fields", "PAYLOAD_MALFORMED")
    return rest > INLINE_BYTES


def is_large_predict(data: bytes) -> bool:
    return is_large(data, _BODY)


def told(data: bytes) -> tuple[pb.PredictRequest | None, bool]:
    """The message, and whether its payload is JSON; None for what is none."""
    request = parsed(data)
    return request, request is not None and request.WhichOneof("payload") == "json"


def with_body(data: bytes) -> tuple[bytes | None, bool]:
    """As `told`, in bytes, and with JSON turned into a body."""
    request, wants_json = told(data)
    if request is None:
        return None, False
    request.body, request.content_type = payload(request)
    return request.SerializeToString(), wants_json


def parsed(data: bytes) -> pb.PredictRequest | None:
    """None for what is no message. Raises InferError for more fields than its parsing should cost."""
    try:
        if grpc_bounds.exceeds(data, _PLAN, _MOST_PARTS):
            raise InferError(400, _TOO_MANY, "PAYLOAD_MALFORMED")
        return pb.PredictRequest.FromString(data)
    except message.DecodeError:
        return None


def fields(
    request: pb.PredictRequest, content_type: str, request_id: bytes, traceparent: bytes, headers: Mapping[str, str]
) -> list[bytes]:
    """Those of a request frame (shim/frames.py)."""
    query = _query(request).encode() if request.query_params else b""
    fields = [b"POST", b"/", query, content_type.encode(), request_id, traceparent]
    for name, value in headers.items():
        fields += (name.encode(), value.encode("latin-1", "replace"))
    return [field.replace(b"\0", b"") for field in fields]


def payload(request: pb.PredictRequest) -> tuple[bytes, str]:
    """Raises InferError 400."""
    if request.WhichOneof("payload") == "json":
        return _value_json(request.json), "application/json"
    return request.body, request.content_type


def _value_json(value: struct_pb2.Value) -> bytes:
    """Whole numbers without a fraction, as a JSON caller would have written them. Raises InferError 400."""
    try:
        text = json_format.MessageToJson(value, indent=None)
    except (ValueError, json_format.Error) as error:  # NaN and infinity, which a message can hold
        raise InferError(400, f"the payload has no JSON form: {error}", "PAYLOAD_MALFORMED") from None
    return json.dumps(json.loads(text, parse_float=proto_json.number)).encode()


def _query(request: pb.PredictRequest) -> str:
    return urllib.parse.urlencode(dict(request.query_params))


def encoded(data: bytes, content_type: str, wants_json: bool) -> bytes:
    return response(data, content_type, wants_json).SerializeToString()


def is_large_answer(data: bytes, wants_json: bool) -> bool:
    return wants_json and len(data) > INLINE_BYTES // 4  # to write is several times as dear as to read


def response(data: bytes, content_type: str, wants_json: bool) -> pb.PredictResponse:
    if wants_json and content_type.startswith(("application/json", "application/x-ndjson")):
        try:
            return pb.PredictResponse(json=json_format.Parse(data, struct_pb2.Value()), content_type=content_type)
        except (json_format.ParseError, message.DecodeError, UnicodeDecodeError):
            pass  # several lines joined, for instance, are no single value; some 50 levels are too deep for a message
    if wants_json and content_type.lower() in _TEXTS:
        try:
            text = struct_pb2.Value(string_value=data.decode("utf-8"))
            return pb.PredictResponse(json=text, content_type=content_type)
        except UnicodeDecodeError:
            pass  # a part of a long text may end inside a character
    return pb.PredictResponse(body=data, content_type=content_type)
