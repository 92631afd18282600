"""EDS: the replicas behind one cluster. Built by keywords, since this is the resource that changes all day."""

import functools
import ipaddress
from typing import Any

from services import xds_types
from services.apiserver import model
from services.apiserver.xds import kinds


@functools.lru_cache(maxsize=16384)
def resource(cluster: str, endpoints: tuple[model.Endpoint, ...]) -> kinds.Resource:
    """`endpoints` must be sorted: order is content."""
    message = xds_types.message(kinds.Kind.ENDPOINT.value)(cluster_name=cluster)
    grpc = cluster.endswith("#grpc")
    hosts = [_host(endpoint, grpc=grpc) for endpoint in endpoints if address_of(endpoint, grpc=grpc)]
    if hosts:
        # A locality must be there, though empty, for load to be reported.
        message.endpoints.add(locality={}, lb_endpoints=hosts)
    return kinds.resource(message, endpoints)


def ordered(endpoints: tuple[model.Endpoint, ...]) -> tuple[model.Endpoint, ...]:
    return tuple(sorted(set(endpoints), key=lambda it: (it.replica, it.http_address, it.grpc_address)))


def address_of(endpoint: model.Endpoint, *, grpc: bool) -> str:
    return endpoint.grpc_address if grpc else endpoint.http_address


@functools.lru_cache(maxsize=65536)
def split(address: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:20000` or `[::1]:20000`. Raises ValueError: Envoy takes no names here."""
    host, _, port = address.rpartition(":")
    number = int(port)
    if not 0 < number < 65536:
        raise ValueError(f"{port} is not a port")
    return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), number


def _host(endpoint: model.Endpoint, *, grpc: bool) -> Any:
    host, port = split(address_of(endpoint, grpc=grpc))
    return {
        "endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}},
        # The replica's id, for the access log and for load reports.
        "metadata": {"filter_metadata": {"cortex": {"fields": {"replica": {"string_value": endpoint.replica}}}}},
    }
