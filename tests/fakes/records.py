"""APIs and revisions as the servicer would make them, with as little text as a test needs."""

import dataclasses
from typing import Any

from services.apiserver import model
from services.apiserver import spec as specs

NOW = 1_000_000.0
NAME = "namespaces/default/apis/iris"


def spec(name: str = NAME, **parts: Any) -> specs.ApiSpec:
    """`parts` are fields of the spec, or of its autoscaling and update strategy."""
    scaling = {k: parts.pop(k) for k in list(parts) if k in specs.Autoscaling.__dataclass_fields__}
    strategy = {k: parts.pop(k) for k in list(parts) if k in specs.UpdateStrategy.__dataclass_fields__}
    return specs.ApiSpec(
        predictor=specs.Predictor(path="predictor.py"),
        networking=specs.Networking(endpoint="/" + name.rpartition("/")[2]),
        bundle_digest="sha256:" + "0" * 64,
        autoscaling=specs.Autoscaling(**{"min_replicas": 0, **scaling}),
        update_strategy=specs.UpdateStrategy(**strategy),
        **parts,
    )


def api(name: str = NAME, *, target: str = "r1", serving: str = "", desired: int = 1, **parts: Any) -> model.Api:
    fields = {k: parts.pop(k) for k in list(parts) if k in ("rollout", "delete_time", "generation", "uid")}
    return model.Api(
        name=name,
        uid=fields.pop("uid", "uid-1"),
        generation=fields.pop("generation", 1),
        version=1,
        labels={},
        spec=spec(name, **parts),
        create_time=NOW,
        update_time=NOW,
        target_revision=target,
        serving_revision=serving,
        desired_replicas=desired,
        **fields,
    )


def serving(revision: str = "r1", **parts: Any) -> model.Api:
    """An API whose rollout to `revision` is over."""
    done = model.Rollout(model.RolloutState.SUCCEEDED, "", revision, NOW - 60, NOW - 60, NOW - 50)
    return api(target=revision, serving=revision, rollout=done, **parts)


def rolling(to: str = "r2", since: float = NOW, progress: float | None = None, **parts: Any) -> model.Api:
    """An API on its way from r1 to `to`."""
    state = model.RolloutState.IN_PROGRESS
    rollout = model.Rollout(state, "r1", to, since, since if progress is None else progress)
    return api(target=to, serving="r1", rollout=rollout, **parts)


def revision(
    identity: str, api: str = NAME, state: model.RevisionState = model.RevisionState.PENDING
) -> model.Revision:
    number = int(identity.partition("-")[0][1:])
    return model.Revision(api, identity, f"uid-{identity}", number, spec(api), f"sha256:{identity}", NOW, state=state)


def replica(identity: str, revision: str = "r1", *, api: str = NAME, age: float = 30.0, **fields: Any) -> model.Replica:
    """A ready one, unless `state` says otherwise."""
    ready = fields.get("state", model.ReplicaState.READY) is model.ReplicaState.READY
    defaults: dict[str, Any] = {
        "state": model.ReplicaState.READY,
        "create_time": NOW - age,
        "ready_time": NOW - age + 1 if ready else None,
        "http_address": f"{identity}:80",
        "grpc_address": f"{identity}:81",
    }
    return model.Replica(id=identity, api=api, revision=revision, **{**defaults, **fields})


def failed(reason: model.Reason, time: float = NOW - 1, message: str = "Traceback: boom") -> model.ReplicaFailure:
    return model.ReplicaFailure(reason, message, time, 1)


def bump(present: model.Api, **changes: Any) -> model.Api:
    return dataclasses.replace(present, **changes)
