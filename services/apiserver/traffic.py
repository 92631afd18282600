"""The route of one API: which replicas get which share, and whether requests have to wait for one.

Weights follow the number of replicas that are ready, per revision. Replicas come and go in the route long before and
after their processes do: they enter when ready, and leave before they are stopped.
"""

import math
from collections.abc import Collection, Mapping, Sequence

from services.apiserver import model, observation


def route(
    api: model.Api,
    replicas: Sequence[model.Replica],
    *,
    known: Collection[str],
    idle_revision: str,
) -> model.Route:
    """`replicas` are those that may serve. `known` are ids of replicas in the present route.

    With none ready, requests are held at the gateway (`activate`) instead of failing. Replicas of the present route
    that restart keep their place meanwhile: their address stays the same, so the first held request reaches them the
    moment they are back. With no replica at all the route names `idle_revision`: a held request needs somewhere to go.
    A replica of unknown state stays as it was.
    """
    present = [replica for replica in replicas if replica.id in known and replica.http_address]
    unsure = [replica for replica in present if replica.state is model.ReplicaState.UNKNOWN]
    ready = [replica for replica in replicas if observation.ready(replica)] + unsure
    return model.Route(
        api=api.name,
        endpoint=api.spec.networking.endpoint,
        networking=api.spec.networking,
        max_replica_concurrency=api.spec.autoscaling.max_replica_concurrency,
        revisions=_shares(ready or present) or (model.RevisionRoute(idle_revision, 100, ()),),
        activate=not ready,
        to_zero=api.spec.autoscaling.min_replicas == 0,
    )


def _shares(replicas: Sequence[model.Replica]) -> tuple[model.RevisionRoute, ...]:
    groups: dict[str, list[model.Replica]] = {}
    for replica in sorted(replicas, key=lambda replica: replica.id):
        groups.setdefault(replica.revision, []).append(replica)
    shares = weights({revision: len(members) for revision, members in groups.items()})
    return tuple(
        model.RevisionRoute(revision, shares[revision], tuple(map(_endpoint, groups[revision])))
        for revision in sorted(groups)
    )


def weights(counts: Mapping[str, int]) -> dict[str, int]:
    """Percentages in proportion to `counts` that sum to 100, by largest remainder; ties go to the lower name."""
    total = sum(counts.values())
    if total == 0:
        return dict.fromkeys(counts, 0)
    exact = {name: 100 * count / total for name, count in counts.items()}
    shares = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(counts, key=lambda name: (shares[name] - exact[name], name))
    for name in by_remainder[: 100 - sum(shares.values())]:
        shares[name] += 1
    return shares


def _endpoint(replica: model.Replica) -> model.Endpoint:
    return model.Endpoint(replica.id, replica.http_address, replica.grpc_address)
