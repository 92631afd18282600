"""What a write makes of an API's record. Pure: the record before, the wish, the time; out comes the record after."""

import dataclasses
from collections.abc import Mapping, Sequence

from services.apiserver import encoding, model, revisions
from services.apiserver import spec as specs

# Too long to show, and every change of it shows in the fields it is made of.
_NOT_SHOWN = {"source", "not_in_effect"}


@dataclasses.dataclass(frozen=True, slots=True)
class FieldChange:
    """`before` and `after` as JSON, empty where there is nothing."""

    path: str
    before: str
    after: str


def first(name: str, labels: Mapping[str, str], spec: specs.ApiSpec, *, uid: str, target: str, now: float) -> model.Api:
    return model.Api(
        name=name,
        uid=uid,
        generation=1,
        version=0,
        labels=labels,
        spec=spec,
        create_time=now,
        update_time=now,
        target_revision=target,
        serving_revision="",
        desired_replicas=spec.autoscaling.init_replicas,
    )


def changed(api: model.Api, spec: specs.ApiSpec, now: float) -> model.Api:
    """The record with another spec. A wanted number outside the new bounds moves to the nearer one."""
    if spec == api.spec:
        return api
    return dataclasses.replace(
        api,
        spec=spec,
        generation=api.generation + 1,
        update_time=now,
        desired_replicas=clamp(api.desired_replicas, spec.autoscaling),
    )


def needs_revision(api: model.Api, target: model.Revision, spec: specs.ApiSpec) -> bool:
    """Whether `spec` is other content than what is wanted already, or a second try of what failed."""
    given_up = api.rollout is not None and (
        api.rollout.state is model.RolloutState.FAILED and api.rollout.to_revision == target.id
    )
    failed = given_up or target.state is model.RevisionState.FAILED
    return failed or revisions.content_digest(spec) != target.content_digest


def answered(api: model.Api, goal: str) -> model.Api:
    """The record once its user wants `goal`. When that is what serves, an update that failed is nobody's wish any more,
    and no reason to call the API unready."""
    if not update_failed(api) or goal != api.serving_revision:
        return api
    assert api.rollout is not None
    return dataclasses.replace(api, rollout=dataclasses.replace(api.rollout, state=model.RolloutState.SUPERSEDED))


def update_failed(api: model.Api) -> bool:
    """Whether the last rollout failed and another revision serves since."""
    return bool(api.serving_revision) and api.rollout is not None and api.rollout.state is model.RolloutState.FAILED


def clamp(wanted: int, bounds: specs.Autoscaling) -> int:
    return max(bounds.min_replicas, min(wanted, bounds.max_replicas))


def scaled(api: model.Api, *, least: int | None, most: int | None, wanted: int | None, now: float) -> model.Api:
    """New bounds, a new number within them, or both; what is None stays. Only bounds are a change of the spec."""
    bounds = api.spec.autoscaling
    low = bounds.min_replicas if least is None else least
    high = bounds.max_replicas if most is None else most
    init = max(low, min(bounds.init_replicas, high))
    scaling = dataclasses.replace(bounds, min_replicas=low, max_replicas=high, init_replicas=init)
    moved = changed(api, dataclasses.replace(api.spec, autoscaling=scaling), now)
    number = clamp(api.desired_replicas if wanted is None else wanted, scaling)
    return dataclasses.replace(moved, desired_replicas=number)


def differences(before: model.Api | None, labels: Mapping[str, str], spec: specs.ApiSpec) -> Sequence[FieldChange]:
    """The fields that differ, by path; all of them for an API that is new."""
    old = {} if before is None else _leaves(before.labels, before.spec)
    new = _leaves(labels, spec)
    paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return [FieldChange(path, old.get(path, ""), new.get(path, "")) for path in paths]


def _leaves(labels: Mapping[str, str], spec: specs.ApiSpec) -> dict[str, str]:
    document = {key: value for key, value in encoding.to_json(spec).items() if key not in _NOT_SHOWN}
    # Absent sections are no fields at all.
    if document["monitoring"] is None:
        del document["monitoring"]
    if document["predictor"]["server_side_batching"] is None:
        del document["predictor"]["server_side_batching"]
    named = {f"labels.{key}": encoding.dumps(value) for key, value in labels.items()}
    return {**encoding.leaves(document), **named}
