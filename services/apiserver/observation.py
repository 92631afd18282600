"""All that one decision about one API rests on, taken at one instant, and the plain questions one can ask of it."""

import dataclasses
from collections.abc import Mapping

from services.apiserver import model

# Older than this, what we know of the replicas is not knowledge: statuses say UNKNOWN, nothing is stopped or started.
STALE_SECONDS = 10.0
# A gateway that has been away for this long is taken for gone: its acknowledgement is no longer waited for. An Envoy
# that lost only the control plane reconnects within seconds, so a minute of silence means that there is none.
GATEWAY_GONE_SECONDS = 60.0

_ENDED = (model.ReplicaState.DRAINING, model.ReplicaState.STOPPED)


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """`api` None: the store was read and has no such API. `replicas` None: the node was never heard of.

    `replicas` holds those asked for and not seen yet, too. `published` is the route this process published last,
    `gateway_open` whether this process has published at all; `gateway_silent_since` is when a gateway was last
    connected, or when this process began. `crashes` counts the failures seen per replica. `previous` is the status
    before this pass.
    """

    name: str
    api: model.Api | None
    revisions: Mapping[str, model.Revision]
    replicas: tuple[model.Replica, ...] | None
    observe_time: float | None
    gateway: model.GatewayView
    gateway_open: bool
    gateway_silent_since: float
    published: model.Route | None = None
    previous: model.Status | None = None
    crashes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    gateway_url: str = ""

    def fresh(self, now: float) -> bool:
        return self.replicas is not None and self.observe_time is not None and now - self.observe_time <= STALE_SECONDS

    def alive(self) -> tuple[model.Replica, ...]:
        """Replicas that were not asked to stop, oldest first."""
        found = [replica for replica in self.replicas or () if replica.state not in _ENDED]
        return tuple(sorted(found, key=lambda replica: (replica.create_time, replica.id)))

    def acked(self) -> model.Route | None:
        return self.gateway.acked.get(self.name)

    def acked_ids(self) -> frozenset[str]:
        return endpoint_ids(self.acked())

    def gateway_gone(self, now: float) -> bool:
        return not self.gateway.connected and now - self.gateway_silent_since > GATEWAY_GONE_SECONDS

    def reachable(self, replica: model.Replica, now: float) -> bool:
        """Whether callers reach it, or nobody is there whose word could be waited for."""
        return replica.id in self.acked_ids() or self.gateway_gone(now)

    def released(self, replica: model.Replica, now: float) -> bool:
        """Whether it may be stopped: no gateway sends it anything any more."""
        if self.gateway_gone(now):
            return True
        used = self.gateway.in_use
        if not self.gateway_open or not self.gateway.connected or used is None:
            return False
        return replica.id not in used and replica.id not in endpoint_ids(self.published)


def endpoint_ids(route: model.Route | None) -> frozenset[str]:
    return frozenset(e.replica for part in route.revisions for e in part.endpoints) if route else frozenset()


def ready(replica: model.Replica) -> bool:
    return replica.state is model.ReplicaState.READY and bool(replica.http_address)
