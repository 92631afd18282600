"""Between PredictionService's messages and the fields of a request frame."""

import json
import urllib.parse
from collections.abc import Mapping

from google.protobuf import json_format, message, struct_pb2

from cortex.runtime.v1 import prediction_service_pb2 as pb
from runtime import config

_TEXTS = ("text/plain", "text/plain; charset=utf-8", "text/plain;charset=utf-8")


def parsed(data: bytes) -> pb.PredictRequest | None:
    try:
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
    if request.WhichOneof("payload") == "json":
        return _value_json(request.json), "application/json"
    return request.body, request.content_type


def _value_json(value: struct_pb2.Value) -> bytes:
    """Whole numbers without a fraction, as a JSON caller would have written them."""
    return json.dumps(json.loads(json_format.MessageToJson(value, indent=None), parse_float=config.number)).encode()


def _query(request: pb.PredictRequest) -> str:
    return urllib.parse.urlencode(dict(request.query_params))


def response(data: bytes, content_type: str, wants_json: bool) -> pb.PredictResponse:
    if wants_json and content_type.startswith(("application/json", "application/x-ndjson")):
        try:
            return pb.PredictResponse(json=json_format.Parse(data, struct_pb2.Value()), content_type=content_type)
        except (json_format.ParseError, UnicodeDecodeError):
            pass  # several lines joined, for instance, are no single value
    if wants_json and content_type.lower() in _TEXTS:
        try:
            text = struct_pb2.Value(string_value=data.decode("utf-8"))
            return pb.PredictResponse(json=text, content_type=content_type)
        except UnicodeDecodeError:
            pass  # a part of a long text may end inside a character
    return pb.PredictResponse(body=data, content_type=content_type)
