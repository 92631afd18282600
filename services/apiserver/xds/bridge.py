"""Unary gRPC calls go to the replica's HTTP port: its Python gRPC server would cost several times as much a call.

Envoy's reverse bridge turns the call into an HTTP/1.1 request. It is told to leave the framing and the content type
alone, for two reasons. A replica's failure then is headers only, which gRPC calls Trailers-Only, and passes as it is,
code, details and all. And what Envoy answers by itself has the content type that the bridge expects of a replica.
"""

from collections.abc import Mapping
from typing import Any

from services import xds_types

FILTER = "envoy.filters.http.grpc_http1_reverse_bridge"
METHODS = ("/cortex.runtime.v1.PredictionService/Predict", "/inference.GRPCInferenceService/ModelInfer")
_PACKAGE = "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3"


def filter_config() -> Any:
    return xds_types.pack(
        xds_types.message(f"{_PACKAGE}.FilterConfig")(content_type="application/grpc", withhold_grpc_frames=False)
    )


def switched_on() -> Mapping[str, Any]:
    """For `typed_per_filter_config` of a route."""
    return {FILTER: xds_types.pack(xds_types.message(f"{_PACKAGE}.FilterConfigPerRoute")(disabled=False))}
