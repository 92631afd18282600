"""CDS: two clusters per revision, HTTP/1.1 and h2 (`#grpc`).

A cluster is a function of its name alone. Envoy builds a changed cluster anew, with new connections and statistics, so
nothing that varies while an API lives (number of replicas, concurrency) may enter here; and a gateway that comes back
after a restart of ours can be told to keep a cluster of which we know no more than the name.
"""

import functools
from typing import Any

from services import xds_types
from services.apiserver.xds import kinds

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# The runtime closes idle connections after 75 s. Closing first means never sending into a connection that is going.
_IDLE_SECONDS = 60
_CONNECT_TIMEOUT_SECONDS = 1
# Requests that wait for a connection. Queueing is the runtime's business, which bounds it and says so; this bound only
# protects the gateway's memory when replicas accept no connections at all.
_MAX_PENDING = 8192
_UNBOUNDED = 1_000_000


@functools.lru_cache(maxsize=65536)
def resource(name: str) -> kinds.Resource:
    return kinds.resource(_cluster(name))


def _cluster(name: str) -> Any:
    return xds_types.message(kinds.Kind.CLUSTER.value)(
        name=name,
        type="EDS",
        eds_cluster_config={"eds_config": kinds.ADS},
        connect_timeout=kinds.seconds(_CONNECT_TIMEOUT_SECONDS),
        lb_policy="LEAST_REQUEST",
        circuit_breakers={"thresholds": [_thresholds()]},
        outlier_detection=_outliers(),
        # A replica leaves by being drained: its removal from the endpoints is final, whatever its health was.
        ignore_health_on_host_removal=True,
        typed_extension_protocol_options={_HTTP_OPTIONS: _protocol(grpc=name.endswith("#grpc"))},
    )


def _thresholds() -> dict[str, Any]:
    """Retries are not rationed: when the only replica crashes, all in flight are, and all shall succeed."""
    return {
        "max_connections": {"value": _UNBOUNDED},
        "max_pending_requests": {"value": _MAX_PENDING},
        "max_requests": {"value": _UNBOUNDED},
        "max_retries": {"value": _UNBOUNDED},
        "track_remaining": False,
    }


def _outliers() -> dict[str, Any]:
    """Ejects replicas that cannot be reached, for seconds. What a replica answers never counts: a 5xx is the user's
    code speaking, a 503 a full queue. At most half are ejected: a single replica stays, panic mode never begins."""
    off = {"value": 0}
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": {"value": 3},
        "enforcing_consecutive_local_origin_failure": {"value": 100},
        "enforcing_local_origin_success_rate": off,
        "enforcing_consecutive_5xx": off,
        "enforcing_consecutive_gateway_failure": off,
        "enforcing_success_rate": off,
        "enforcing_failure_percentage": off,
        "enforcing_failure_percentage_local_origin": off,
        "interval": kinds.seconds(0.5),
        "base_ejection_time": kinds.seconds(1),
        "max_ejection_time": kinds.seconds(5),
        "max_ejection_percent": {"value": 50},
    }


def _protocol(*, grpc: bool) -> Any:
    http2 = {
        "connection_keepalive": {"interval": kinds.seconds(30), "timeout": kinds.seconds(5)},
        "initial_stream_window_size": {"value": 1024 * 1024},
        "initial_connection_window_size": {"value": 16 * 1024 * 1024},
    }
    explicit = {"http2_protocol_options": http2} if grpc else {"http_protocol_options": {}}
    return xds_types.pack(
        xds_types.message(_HTTP_OPTIONS)(
            common_http_protocol_options={"idle_timeout": kinds.seconds(_IDLE_SECONDS)},
            explicit_http_config=explicit,
        )
    )
