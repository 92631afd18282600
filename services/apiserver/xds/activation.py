"""The hold in front of an API that has no replica: an ext_authz check that the autoscaler answers when one is ready.

The filter is in every chain and switched off; only the routes of such APIs switch it on. The gateway holds the request,
and the caller's flow control holds what does not fit, so no body passes through the autoscaler.
"""

from collections.abc import Mapping
from typing import Any

from services import xds_types
from services.apiserver import model
from services.apiserver.xds import kinds

FILTER = "envoy.filters.http.ext_authz"
AUTOSCALER = "autoscaler"
_PACKAGE = "envoy.extensions.filters.http.ext_authz.v3"
# The autoscaler gives up first, with a better message than ours.
_MARGIN_SECONDS = 5.0
_TIMEOUTS = ("grpc-timeout", "x-request-timeout-ms")
_TOLD = ("x-request-id", "traceparent", "tracestate", "content-type", "user-agent", *_TIMEOUTS)


def check_timeout(route: model.Route) -> float:
    return route.networking.activation_timeout + _MARGIN_SECONDS


def filter_config() -> Any:
    """The filter in the chain. The caller's headers stay here, but for those that identify the request."""
    return xds_types.pack(
        xds_types.message(f"{_PACKAGE}.ExtAuthz")(
            grpc_service=_service(3600.0),
            transport_api_version="V3",
            failure_mode_allow=False,
            status_on_error={"code": "ServiceUnavailable"},
            allowed_headers={"patterns": [{"exact": name} for name in _TOLD]},
            stat_prefix="activation",
        )
    )


def hold(route: model.Route) -> Mapping[str, Any]:
    """The fields of a route that make its requests wait."""
    settings = {
        "context_extensions": {"api": route.api},
        "disable_request_body_buffering": True,
        "grpc_service": _service(check_timeout(route)),
    }
    per_route = xds_types.message(f"{_PACKAGE}.ExtAuthzPerRoute")(check_settings=settings)
    return {"typed_per_filter_config": {FILTER: xds_types.pack(per_route)}}


def _service(timeout: float) -> Mapping[str, Any]:
    return {"envoy_grpc": {"cluster_name": AUTOSCALER}, "timeout": kinds.seconds(timeout)}
