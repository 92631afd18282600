"""The four xDS resource types, in the order in which additions travel, and the words all of them share."""

import dataclasses
import enum
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from services import xds_types
from services.apiserver import model


class Kind(enum.Enum):
    """Values are the full names of the messages; the names equal `GatewayResourceStatus.type`."""

    CLUSTER = "envoy.config.cluster.v3.Cluster"
    ENDPOINT = "envoy.config.endpoint.v3.ClusterLoadAssignment"
    LISTENER = "envoy.config.listener.v3.Listener"
    ROUTE = "envoy.config.route.v3.RouteConfiguration"

    @property
    def type_url(self) -> str:
        return f"type.googleapis.com/{self.value}"


BY_URL: Mapping[str, Kind] = {kind.type_url: kind for kind in Kind}

# Asks for more of the configuration on the stream that is already open; waits for it for ever, because serving without
# it would mean answering 404 for APIs that exist.
ADS: Mapping[str, Any] = {
    "ads": {},
    "resource_api_version": "V3",
    "initial_fetch_timeout": {"seconds": 0},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """One named thing a gateway holds. `data` is a serialised Any; `endpoints` says which replicas it leads to."""

    digest: str
    data: bytes = dataclasses.field(compare=False, repr=False)
    endpoints: tuple[model.Endpoint, ...] = dataclasses.field(default=(), compare=False)


def resource(message: Any, endpoints: tuple[model.Endpoint, ...] = ()) -> Resource:
    data = xds_types.serialize(xds_types.pack(message))
    return Resource(digest(data), data, endpoints)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def version(contents: Mapping[str, Resource], names: Iterable[str] | None = None) -> str:
    """A hash of what is held under `names` (all when None): equal content has an equal version in every process."""
    chosen = contents if names is None else [name for name in names if name in contents]
    return digest("\n".join(f"{name} {contents[name].digest}" for name in sorted(chosen)).encode())


def cluster_name(api: str, revision: str, *, grpc: bool = False) -> str:
    return f"{api}/revisions/{revision}" + ("#grpc" if grpc else "")


def any_cluster_name(api: str, *, grpc: bool = False) -> str:
    """The cluster of all of an API's replicas. The gateway matches a request with its route once, before it is held:
    the revision that the route named then may be gone when there is a replica."""
    return cluster_name(api, "any", grpc=grpc)


def api_of(cluster: str) -> str:
    return cluster.partition("/revisions/")[0]


def seconds(value: float) -> Mapping[str, int]:
    """A protobuf Duration."""
    whole = int(value)
    return {"seconds": whole, "nanos": round((value - whole) * 1e9)}
