"""Envoy's bootstrap: what the gateway knows before the apiserver tells it anything. Pure; JSON as Envoy reads it.

The control listener is static, so that the control plane is reachable through the gateway whatever xDS says.
"""

import dataclasses
import ipaddress
from typing import Any

from services.launcher import control_listener

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """Addresses are host:port; `admin_socket` is a path; `otlp_endpoint` is a URL, empty for no tracing."""

    node_id: str
    cluster_id: str
    admin_socket: str
    control_address: str
    apiserver_address: str
    autoscaler_address: str
    logstream_address: str
    monitor_address: str
    descriptors: str
    control_log: str
    otlp_endpoint: str = ""


def build(gateway: Gateway) -> Json:
    return {
        "node": {"id": gateway.node_id, "cluster": gateway.cluster_id},
        # For this user only: whoever reaches it may do anything to the gateway.
        "admin": {"address": {"pipe": {"path": gateway.admin_socket, "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": _stream("apiserver", "ads"),
            "cds_config": _from_ads(),
            "lds_config": _from_ads(),
        },
        "cluster_manager": {"load_stats_config": _stream("autoscaler", "lrs")},
        "static_resources": {
            "clusters": [_cluster(name, address) for name, address in _clusters(gateway).items()],
            "listeners": [
                control_listener.build(
                    gateway.control_address,
                    descriptors=gateway.descriptors,
                    log=gateway.control_log,
                    tracing=bool(gateway.otlp_endpoint),
                )
            ],
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors"
                        ".downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 50_000,
                    },
                }
            ]
        },
    }


def _clusters(gateway: Gateway) -> dict[str, str]:
    found = {
        "apiserver": gateway.apiserver_address,
        "autoscaler": gateway.autoscaler_address,
        "logstream": gateway.logstream_address,
        "monitor": gateway.monitor_address,
    }
    if gateway.otlp_endpoint:
        found["otel_collector"] = otlp_address(gateway.otlp_endpoint)
    return found


def otlp_address(endpoint: str) -> str:
    """host:port of an OTLP endpoint URL; the port of OTLP over gRPC where none is given."""
    authority = endpoint.split("://", 1)[-1].split("/", 1)[0]
    return authority if authority.rpartition(":")[2].isdigit() else f"{authority}:4317"


def _stream(cluster: str, kind: str) -> Json:
    """A gRPC stream that is taken up again within a second of the other side's return."""
    service: Json = {
        "envoy_grpc": {
            "cluster_name": cluster,
            "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
        },
        "timeout": "0s",
    }
    config: Json = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service]}
    if kind == "ads":
        config["set_node_on_first_message_only"] = True
    return config


def _from_ads() -> Json:
    # The wait for the first answer holds back the static listener too: it must not be long when the apiserver is away.
    return {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "1s"}


def _cluster(name: str, address: str) -> Json:
    """One of our own gRPC services, or a collector. Watches live long and are many: the limits are far off."""
    host = address.rpartition(":")[0]
    endpoint = {"endpoint": {"address": control_listener.socket_address(address)}}
    thresholds = [
        {"priority": priority, "max_connections": 1024, "max_pending_requests": 65_536, "max_requests": 65_536}
        for priority in ("DEFAULT", "HIGH")
    ]
    return {
        "name": name,
        "type": "STATIC" if _is_ip(host) else "STRICT_DNS",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": thresholds},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}
                },
            }
        },
    }


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
