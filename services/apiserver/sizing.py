"""How many replicas of which revision there should be now: the arithmetic of Kubernetes' rolling update.

One rule for every situation. `goal` is the revision that should have all `wanted` replicas; the others are old. A
rollout, its rollback, a redeploy in the middle of either and plain scaling differ only in what the goal is. The rules
come in the order of k8s.io/kubernetes pkg/controller/deployment/rolling.go.
"""

import dataclasses
from collections.abc import Collection, Sequence

from services.apiserver import model, observation, quantities


@dataclasses.dataclass(frozen=True, slots=True)
class Herd:
    """The replicas of one API that are alive, sorted by what they are good for.

    `available` are ids of goal replicas that count: ready, reachable and, during a rollout, proven for a while.
    `distrusted` are ids of replicas whose revision failed: they take no traffic and are in nobody's way.
    `leaving` are ids of replicas that no gateway uses, so that stopping them takes effect in this pass.
    """

    goal: str
    fallback: str
    replicas: Sequence[model.Replica]
    available: Collection[str]
    distrusted: Collection[str]
    leaving: Collection[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Sizing:
    """`starts`: how many of which revision. `victims` leave the route, then stop."""

    starts: tuple[tuple[str, int], ...]
    victims: tuple[model.Replica, ...]


def size(herd: Herd, wanted: int, budget: quantities.Budget) -> Sizing:
    known = [r for r in herd.replicas if r.state is not model.ReplicaState.UNKNOWN]
    junk = [r for r in known if _is_junk(r, herd)]
    new = [r for r in herd.replicas if r.revision == herd.goal]
    surplus = _worst_first([r for r in new if r in known], herd)[: max(0, len(new) - wanted)]
    new = [r for r in new if r not in surplus]
    old = [r for r in herd.replicas if r.revision != herd.goal and r not in junk]
    out = _old_to_remove(herd, new, old, budget)
    victims = [*junk, *surplus, *out]
    return Sizing(starts=_starts(herd, wanted, budget, new, old, victims), victims=tuple(victims))


def _is_junk(replica: model.Replica, herd: Herd) -> bool:
    """Worth nothing to anybody: of a failed revision, or superseded before it was ready."""
    if replica.revision == herd.goal:
        return False
    return replica.id in herd.distrusted or (replica.revision != herd.fallback and not observation.ready(replica))


def _old_to_remove(
    herd: Herd, new: Sequence[model.Replica], old: Sequence[model.Replica], budget: quantities.Budget
) -> list[model.Replica]:
    available = sum(r.id in herd.available for r in new)
    healthy = [r for r in old if observation.ready(r)]
    most = len(new) + len(old) - budget.floor - (len(new) - available)
    sick = [
        r for r in _worst_first(old, herd) if not observation.ready(r) and r.state is not model.ReplicaState.UNKNOWN
    ]
    removed = sick[: max(0, most)]
    spare = min(available + len(healthy) - budget.floor, most - len(removed))
    return removed + _worst_first(healthy, herd)[: max(0, spare)]


def _starts(
    herd: Herd,
    wanted: int,
    budget: quantities.Budget,
    new: Sequence[model.Replica],
    old: Sequence[model.Replica],
    victims: Sequence[model.Replica],
) -> tuple[tuple[str, int], ...]:
    stopping = {r.id for r in victims if r.id in herd.leaving}
    room = budget.ceiling - sum(r.id not in stopping for r in herd.replicas)
    staying = sum(r not in victims for r in old)
    available = sum(r.id in herd.available for r in new)
    starts = []
    if herd.fallback not in ("", herd.goal):
        # The revision that serves lost replicas while the new one proves nothing yet: capacity comes first.
        missing = min(room, budget.floor - staying - available)
        if missing > 0:
            starts.append((herd.fallback, missing))
            room -= missing
    fresh = min(room, wanted - len(new))
    if fresh > 0:
        starts.append((herd.goal, fresh))
    return tuple(starts)


def _worst_first(replicas: Sequence[model.Replica], herd: Herd) -> list[model.Replica]:
    """Not ready, then neither goal nor fallback, then out of the route already, then youngest.

    Stable from pass to pass: a replica that has left the route stays the first choice, so traffic does not flap.
    """
    youngest = sorted(replicas, key=lambda r: (r.create_time, r.id), reverse=True)
    wanted = (herd.goal, herd.fallback)
    return sorted(youngest, key=lambda r: (observation.ready(r), r.revision in wanted, r.id not in herd.leaving))
