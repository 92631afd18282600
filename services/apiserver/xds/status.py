"""Where each gateway stands, for GatewayService."""

import dataclasses

from services.apiserver.xds import snapshot, stream


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceStatus:
    """`type` is LISTENER, CLUSTER, ENDPOINT or ROUTE; `error` holds the gateway's own words."""

    type: str
    sent_version: str
    acked_version: str
    error: str
    ack_time: float | None
    nack_time: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class GatewayStatus:
    """`connect_time` is when it connected, or was last seen."""

    node_id: str
    connected: bool
    connect_time: float
    user_agent: str
    resources: tuple[ResourceStatus, ...]
    in_sync: bool


def describe(one: stream.Stream, current: snapshot.Snapshot | None) -> GatewayStatus:
    resources = tuple(
        ResourceStatus(kind.name, held.sent_version, held.acked_version, held.error, held.ack_time, held.nack_time)
        for kind, held in one.subscriptions.items()
    )
    return GatewayStatus(
        node_id=one.node_id,
        connected=True,
        connect_time=one.connect_time,
        user_agent=one.user_agent,
        resources=resources,
        in_sync=current is not None and one.in_sync(current),
    )
