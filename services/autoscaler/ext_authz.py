"""Envoy's external authorization, used as a door: `Check` answers when the request may go on.

The filter sits on the routes of APIs without a replica; the route names its API in `context_extensions`. Envoy holds
the request, body included, while the call is open, and cancels the call when its client goes away.
"""

import http
import json
import re
from collections.abc import Mapping
from typing import Any

import grpc

from services import xds_types
from services.autoscaler import activator

SERVICE = "envoy.service.auth.v3.Authorization"
# Our refusal must reach Envoy before its own patience ends, or its caller gets a bare error.
_MARGIN = 0.25
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_GRPC_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
_MILLISECONDS = re.compile(r"\d{1,9}")


class ExtAuthz:
    def __init__(self, door: activator.Activator) -> None:
        self._door = door
        self._response = xds_types.message("envoy.service.auth.v3.CheckResponse")

    def handlers(self) -> grpc.GenericRpcHandler:
        request = xds_types.message("envoy.service.auth.v3.CheckRequest")
        check = grpc.unary_unary_rpc_method_handler(
            self.check,
            request_deserializer=request.FromString,
            response_serializer=self._response.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Check": check})

    async def check(self, request: Any, context: Any) -> Any:
        attributes = request.attributes
        headers = attributes.request.http.headers
        remaining = context.time_remaining()
        budget = shortest(caller_budget(headers), None if remaining is None else remaining - _MARGIN)
        outcome = await self._door.admit(attributes.context_extensions["api"], budget)
        if isinstance(outcome, activator.Pass):
            return self._response()
        return self._refuse(outcome, headers, attributes.request.http.id)

    def _refuse(self, refusal: activator.Refusal, headers: Mapping[str, str], fallback_id: str) -> Any:
        grpc_call = headers.get("content-type", "").startswith("application/grpc")
        answer = self._response()
        answer.status.code = grpc.StatusCode.UNAVAILABLE.value[0]
        answer.status.message = refusal.message
        denied = answer.denied_response
        denied.status.code = http.HTTPStatus.SERVICE_UNAVAILABLE.value
        _add_header(denied, "retry-after", str(refusal.retry_after))
        if grpc_call:
            # Envoy turns this into the status UNAVAILABLE with the body as its message.
            denied.body = refusal.message
            return answer
        _add_header(denied, "content-type", "application/json")
        request_id = headers.get("x-request-id", "") or fallback_id
        denied.body = json.dumps({"error": refusal.message, "request_id": request_id})
        return answer


def caller_budget(headers: Mapping[str, str]) -> float | None:
    """Seconds the caller is willing to wait, None when it does not say."""
    found = _GRPC_TIMEOUT.fullmatch(headers.get("grpc-timeout", ""))
    grpc_timeout = int(found[1]) * _UNITS[found[2]] if found else None
    text = headers.get("x-request-timeout-ms", "")
    own = int(text) / 1000.0 if _MILLISECONDS.fullmatch(text) else None
    return shortest(grpc_timeout, own)


def shortest(*budgets: float | None) -> float | None:
    """The shortest of those that are set."""
    known = [budget for budget in budgets if budget is not None]
    return min(known) if known else None


def _add_header(denied: Any, key: str, value: str) -> None:
    option = denied.headers.add()
    option.header.key = key
    option.header.value = value
