"""What the gateway says when it answers by itself: one JSON form, and words a caller can act on.

gRPC callers get the same text as the status message: Envoy translates by itself.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from services import xds_types

_CEL = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_RETRY_LATER = [{"header": {"key": "retry-after", "value": "1"}, "append_action": "ADD_IF_ABSENT"}]
_SAYINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("UH", "NC"), "no replica of this API can take the request now; try again"),
    (("UO",), "too many requests wait for this API; try again"),
    (("UF", "UC", "UR", "URX", "LR"), "the replica failed before it answered; try again"),
    (("UT", "DT", "UMSDR", "SI"), "the request took longer than the API's networking.request_timeout allows"),
)


def config() -> Mapping[str, Any]:
    return {"mappers": [*_activation(), *_sayings(), _unavailable()], "body_format": _json("%LOCAL_REPLY_BODY%")}


def _activation() -> Iterable[Mapping[str, Any]]:
    """The autoscaler writes its refusals itself; they pass unchanged. Its silence needs words of ours."""
    silent = xds_types.message(_CEL)(expression="response.code_details == 'ext_authz_error'")
    yield {
        "filter": {"extension_filter": {"name": "cel", "typed_config": xds_types.pack(silent)}},
        "body": {"inline_string": "this API is scaled to zero and could not be started in time; try again"},
        "headers_to_add": _RETRY_LATER,
    }
    yield {
        "filter": {"response_flag_filter": {"flags": ["UAEX"]}},
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": "application/json",
        },
        "headers_to_add": _RETRY_LATER,
    }


def _sayings() -> Iterable[Mapping[str, Any]]:
    for flags, text in _SAYINGS:
        late = flags[0] == "UT"
        yield {
            "filter": {"response_flag_filter": {"flags": list(flags)}},
            "body": {"inline_string": text},
            "headers_to_add": [] if late else _RETRY_LATER,
        }


def _unavailable() -> Mapping[str, Any]:
    comparison = {"op": "EQ", "value": {"default_value": 503, "runtime_key": "cortex.reply.unavailable"}}
    return {"filter": {"status_code_filter": {"comparison": comparison}}, "headers_to_add": _RETRY_LATER}


def _json(text: str) -> Mapping[str, Any]:
    values = {"error": text, "request_id": "%REQ(X-REQUEST-ID)%"}
    fields = {name: {"string_value": value} for name, value in values.items()}
    return {"json_format": {"fields": fields}, "content_type": "application/json"}
