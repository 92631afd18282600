"""The gateway's control listener: gRPC to the services by prefix, JSON through the transcoder, nothing for browsers.

It stands on loopback without authentication. What keeps a web page in the user's browser from driving it is that
requests with an Origin header are refused, and requests for any host name but a local one.
"""

import ipaddress
from typing import Any

Json = dict[str, Any]
_V3 = "type.googleapis.com/envoy.extensions"
_PREFIXES = {
    "/cortex.apiserver.v1.": "apiserver",
    "/cortex.autoscaler.v1.": "autoscaler",
    "/cortex.logstream.v1.": "logstream",
    "/cortex.monitor.v1.": "monitor",
    "/grpc.health.v1.": "apiserver",
    "/grpc.reflection.": "apiserver",
}
_TRANSCODED = (
    "cortex.apiserver.v1.ApiService",
    "cortex.apiserver.v1.BundleService",
    "cortex.apiserver.v1.EventService",
    "cortex.apiserver.v1.GatewayService",
    "cortex.autoscaler.v1.AutoscalerService",
    "cortex.monitor.v1.MonitorService",
)
_NO_ORIGIN = "requests from web pages (with an Origin header) are refused on the control listener"
_NO_HOST = "this host name is not served; use localhost or 127.0.0.1"
_NO_PATH = "no such method; REST paths begin with /v1/, gRPC methods with /cortex."
# HTTP status -> google.rpc.Code of the answers that Envoy gives itself.
_CODES = {400: 3, 403: 7, 404: 5, 413: 8, 429: 8, 503: 14, 504: 4}


def build(address: str, *, descriptors: str, log: str, tracing: bool) -> Json:
    manager: Json = {
        "@type": f"{_V3}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "control",
        "codec_type": "AUTO",
        "use_remote_address": True,
        "normalize_path": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_any_host_port": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        # Watches and tails are silent for long; a dead peer is found by keepalive instead.
        "stream_idle_timeout": "0s",
        "http2_protocol_options": {
            "max_concurrent_streams": 1000,
            "initial_stream_window_size": 1024**2,
            "initial_connection_window_size": 16 * 1024**2,
            "connection_keepalive": {"interval": "30s", "timeout": "10s"},
        },
        "access_log": [_access_log(log)],
        "local_reply_config": _local_replies(),
        "http_filters": [_transcoder(descriptors), _router()],
        "route_config": {"name": "control", "virtual_hosts": _virtual_hosts(address)},
    }
    if tracing:
        manager["tracing"] = _tracing()
    return {
        "name": "control",
        "address": socket_address(address),
        # With it two gateways could share the port unseen.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 1024**2,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def socket_address(address: str) -> Json:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def _virtual_hosts(address: str) -> list[Json]:
    host = address.rpartition(":")[0]
    refused = [{"match": {"prefix": "/"}, "direct_response": _text(403, _NO_HOST)}]
    hosts = [{"name": "control", "domains": ["localhost", "127.0.0.1", "[::1]", "::1"], "routes": _routes()}]
    if _is_loopback(host):
        return [*hosts, {"name": "elsewhere", "domains": ["*"], "routes": refused}]
    # Whoever binds it elsewhere on purpose reaches it by names we cannot know.
    return [{"name": "control", "domains": ["*"], "routes": _routes()}]


def _routes() -> list[Json]:
    origin = {"prefix": "/", "headers": [{"name": "origin", "present_match": True}]}
    routes = [{"match": origin, "direct_response": _text(403, _NO_ORIGIN)}]
    routes += [_route(prefix, cluster) for prefix, cluster in _PREFIXES.items()]
    return [*routes, {"match": {"prefix": "/"}, "direct_response": _text(404, _NO_PATH)}]


def _route(prefix: str, cluster: str) -> Json:
    return {
        "match": {"prefix": prefix},
        "route": {
            "cluster": cluster,
            "timeout": "0s",
            # The caller's own deadline counts, without a limit of ours.
            "max_stream_duration": {"grpc_timeout_header_max": "0s"},
            # A service that is being restarted took nothing in: asking again is safe.
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream",
                "num_retries": 5,
                "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
            },
        },
    }


def _text(status: int, words: str) -> Json:
    return {"status": status, "body": {"inline_string": words}}


def _transcoder(descriptors: str) -> Json:
    return {
        "name": "envoy.filters.http.grpc_json_transcoder",
        "typed_config": {
            "@type": f"{_V3}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
            "proto_descriptor": descriptors,
            "services": list(_TRANSCODED),
            "convert_grpc_status": True,
            "auto_mapping": False,
            "print_options": {"preserve_proto_field_names": True, "always_print_primitive_fields": False},
            "request_validation_options": {"reject_unknown_method": False, "reject_unknown_query_parameters": True},
            "max_request_body_size": 5 * 1024**2,
            "max_response_body_size": 16 * 1024**2,
        },
    }


def _router() -> Json:
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_V3}.filters.http.router.v3.Router"}}


def _local_replies() -> Json:
    """What Envoy answers itself has the shape of google.rpc.Status, like what the services answer."""
    mappers = [
        {
            "filter": {
                "status_code_filter": {
                    "comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": f"control.{status}"}}
                }
            },
            "body_format_override": {"json_format": {"code": code, "message": "%LOCAL_REPLY_BODY%"}},
        }
        for status, code in _CODES.items()
    ]
    return {"mappers": mappers, "body_format": {"json_format": {"code": 13, "message": "%LOCAL_REPLY_BODY%"}}}


def _access_log(path: str) -> Json:
    fields = {
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "milliseconds": "%DURATION%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "upstream": "%UPSTREAM_CLUSTER%",
        "peer": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "user_agent": "%REQ(USER-AGENT)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "trace_id": "%TRACE_ID%",
    }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_V3}.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"json_format": fields},
        },
    }


def _tracing() -> Json:
    return {
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "grpc_service": {"envoy_grpc": {"cluster_name": "otel_collector"}, "timeout": "1s"},
                "service_name": "cortex-gateway",
            },
        }
    }


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
