"""What the gateway says when it answers by itself: one JSON form, and words a caller can act on.

gRPC callers get the same words as the message of their status. The first mapper that matches is the only one applied,
so each saying is there twice: as plain text where the request is gRPC, as JSON otherwise.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from services import xds_types

Part = Mapping[str, Any]
_CEL = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_BODY = "%LOCAL_REPLY_BODY%"
_LATER: Part = {"headers_to_add": [{"header": {"key": "retry-after", "value": "1"}, "append_action": "ADD_IF_ABSENT"}]}
_SAYINGS: tuple[tuple[tuple[str, ...], str, Part], ...] = (
    (("UH", "NC"), "no replica of this API can take the request now; try again", _LATER),
    (("UO",), "too many requests wait for this API; try again", _LATER),
    (("UF", "UC", "UR", "URX", "LR"), "the replica failed before it answered; try again", _LATER),
    (("UT", "DT", "UMSDR", "SI"), "the request took longer than the API's networking.request_timeout allows", {}),
)
NO_API = "no API is served at this path; `cortex get` lists the APIs and their endpoints"
# What Envoy itself has no words for, or too few, by its response code details.
_UNSAID = (
    ("missing_host_header", "an HTTP/1.1 request needs a Host header"),
    ("upgrade_failed", "an API takes no upgrades, such as WebSocket; ask for a stream with Accept: text/event-stream"),
    ("absolute_path_rejected", NO_API),  # OPTIONS *
    ("route_not_found", NO_API),  # CONNECT
)


def config() -> Mapping[str, Any]:
    return {"mappers": [*_mappers(grpc=True), *_mappers(grpc=False)], "body_format": _json(_BODY)}


def _mappers(*, grpc: bool) -> Iterable[Part]:
    form: Part = {"body_format_override": _text("text/plain")} if grpc else {}
    silent = _said("this API is scaled to zero and could not be started in time; try again")
    yield {"filter": _both(grpc, _details("ext_authz_error")), **silent, **_LATER, **form}
    # The autoscaler words its refusals itself, for either protocol.
    as_is = {"body_format_override": _text("application/json")}
    yield {"filter": _both(grpc, _flags("UAEX")), **as_is, **_LATER}
    for flags, text, later in _SAYINGS:
        yield {"filter": _both(grpc, _flags(*flags)), **_said(text), **later, **form}
    yield {"filter": _both(grpc, _status(503)), **_LATER, **form}
    for details, text in _UNSAID:
        yield {"filter": _both(grpc, _details(details)), **_said(text), **form}
    yield {"filter": _both(grpc, _status(400)), **_said("this is not a valid HTTP request"), **form}
    yield {"filter": _both(grpc, _status(431)), **_said("the request line and headers are too large"), **form}
    if grpc:
        yield {"filter": _is_grpc(), **form}


def _both(grpc: bool, condition: Part) -> Part:
    return {"and_filter": {"filters": [_is_grpc(), condition]}} if grpc else condition


def _is_grpc() -> Part:
    return {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}


def _flags(*flags: str) -> Part:
    return {"response_flag_filter": {"flags": list(flags)}}


def _details(value: str) -> Part:
    expression = xds_types.message(_CEL)(expression=f"response.code_details == '{value}'")
    return {"extension_filter": {"name": "cel", "typed_config": xds_types.pack(expression)}}


def _status(code: int) -> Part:
    comparison = {"op": "EQ", "value": {"default_value": code, "runtime_key": "cortex.local_reply"}}
    return {"status_code_filter": {"comparison": comparison}}


def _said(text: str) -> Part:
    return {"body": {"inline_string": text}}


def _text(content_type: str) -> Part:
    return {"text_format_source": {"inline_string": _BODY}, "content_type": content_type}


def _json(text: str) -> Part:
    values = {"error": text, "request_id": "%REQ(X-REQUEST-ID)%"}
    return {"json_format": values, "content_type": "application/json"}
