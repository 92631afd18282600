"""LDS: the data listener. One port speaks HTTP/1.1, h2c with prior knowledge, and gRPC."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from services import xds_types
from services.apiserver.xds import activation, bridge, endpoints, kinds, replies, routes

NAME = "data"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
# Envoy trusts callers on private addresses unless told whom to trust, and takes an empty list for not being told.
_NOBODY: Mapping[str, Any] = {"address_prefix": "255.255.255.255", "prefix_len": {"value": 32}}
_ACCESS_LOG: Mapping[str, str] = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "api": "%METADATA(ROUTE:cortex:api)%",
    "cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream": "%UPSTREAM_HOST%",
    "replica": "%UPSTREAM_METADATA(cortex:replica)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace_id": "%TRACE_ID%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "user_agent": "%REQ(USER-AGENT)%",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the data listener is told once, at the start of the process."""

    address: str
    """host:port of the data listener."""
    access_log: str
    """File the access log is appended to; empty: none is written."""
    tracing: bool = False
    """Whether the bootstrap has a cluster `otel_collector` that takes OTLP over gRPC."""


def resource(options: Options) -> kinds.Resource:
    host, port = endpoints.split(options.address)
    chain = {"filters": [{"name": "http", "typed_config": xds_types.pack(_manager(options))}]}
    return kinds.resource(
        xds_types.message(kinds.Kind.LISTENER.value)(
            name=NAME,
            stat_prefix=NAME,
            address={"socket_address": {"address": host, "port_value": port}},
            filter_chains=[chain],
            per_connection_buffer_limit_bytes={"value": 1024 * 1024},
            tcp_backlog_size={"value": 4096},
        )
    )


def _manager(options: Options) -> Any:
    return xds_types.message(_HCM)(
        stat_prefix=NAME,
        codec_type="AUTO",
        rds={"config_source": kinds.ADS, "route_config_name": routes.NAME},
        http_filters=_filters(),
        local_reply_config=replies.config(),
        access_log=_access_log(options),
        tracing=_tracing(options),
        **_identity(),
        **_limits(),
    )


def _filters() -> list[Mapping[str, Any]]:
    """As few as can be: each costs every request."""
    router = xds_types.pack(xds_types.message("envoy.extensions.filters.http.router.v3.Router")())
    return [
        {"name": activation.FILTER, "typed_config": activation.filter_config(), "disabled": True},
        {"name": bridge.FILTER, "typed_config": bridge.filter_config(), "disabled": True},
        {"name": "envoy.filters.http.router", "typed_config": router},
    ]


def _identity() -> Mapping[str, Any]:
    """Who the caller is and what the request is called. No caller may steer us by `x-envoy-` headers, local or not."""
    return {
        "use_remote_address": {"value": True},
        "internal_address_config": {"cidr_ranges": [_NOBODY]},
        "generate_request_id": {"value": True},
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": {"value": True},
        "merge_slashes": False,
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
    }


def _limits() -> Mapping[str, Any]:
    """A slow caller holds a connection and a little memory, never for ever."""
    return {
        "request_headers_timeout": kinds.seconds(10),
        "stream_idle_timeout": kinds.seconds(300),
        "common_http_protocol_options": {"idle_timeout": kinds.seconds(3600), "max_headers_count": {"value": 200}},
        "http2_protocol_options": {
            "max_concurrent_streams": {"value": 1024},
            "initial_stream_window_size": {"value": 1024 * 1024},
            # Streams that are held must not use up the window of those that are not.
            "initial_connection_window_size": {"value": 64 * 1024 * 1024},
        },
    }


def _access_log(options: Options) -> list[Mapping[str, Any]]:
    if not options.access_log:
        return []
    file = xds_types.message("envoy.extensions.access_loggers.file.v3.FileAccessLog")(
        path=options.access_log, log_format={"json_format": dict(_ACCESS_LOG), "omit_empty_values": True}
    )
    return [{"name": "file", "typed_config": xds_types.pack(file)}]


def _tracing(options: Options) -> Mapping[str, Any] | None:
    if not options.tracing:
        return None
    collector = {"envoy_grpc": {"cluster_name": "otel_collector"}, "timeout": kinds.seconds(1)}
    provider = xds_types.message("envoy.config.trace.v3.OpenTelemetryConfig")(
        grpc_service=collector, service_name="cortex-gateway"
    )
    tag = {"kind": {"route": {}}, "metadata_key": {"key": "cortex", "path": [{"key": "api"}]}}
    return {
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": xds_types.pack(provider)},
        "custom_tags": [{"tag": "cortex.api", "metadata": tag}],
    }
