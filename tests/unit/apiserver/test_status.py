"""Conditions tell the truth, say why, and keep the time they last changed."""

import dataclasses

import pytest

from services.apiserver import model, observation
from tests.fakes import records
from tests.fakes.observed import decide, disconnected, seen

NOW, T, F, U = records.NOW, model.Truth.TRUE, model.Truth.FALSE, model.Truth.UNKNOWN


def conditions(view: observation.Observation, now: float = NOW) -> dict[str, model.Condition]:
    status = decide(view, now).status
    assert status is not None
    return {condition.type: condition for condition in status.conditions}


def truths(view: observation.Observation) -> dict[str, tuple[model.Truth, model.Reason]]:
    return {name: (c.status, c.reason) for name, c in conditions(view).items()}


def test_all_is_well() -> None:
    found = truths(seen(records.serving(), [records.replica("a")]))
    assert found == dict.fromkeys(
        ("Ready", "RevisionReady", "RolloutComplete", "ReplicasAvailable", "GatewayProgrammed", "Active"),
        (T, model.Reason.OK),
    )


def test_zero_is_ready_and_not_active() -> None:
    found = truths(seen(records.serving(desired=0), [], routed=[]))
    assert found["Ready"] == (T, model.Reason.SCALED_TO_ZERO)
    assert found["Active"] == (F, model.Reason.SCALED_TO_ZERO)


def test_a_traceback_reaches_the_user_after_a_failed_first_deployment() -> None:
    over = model.Rollout(
        model.RolloutState.FAILED, "", "r1", NOW, NOW, NOW, model.Reason.IMPORT_FAILED, "No module iris"
    )
    down = records.replica("a", state=model.ReplicaState.BACKING_OFF)
    found = conditions(seen(records.api(rollout=over), [down], routed=[]))
    assert (found["Ready"].status, found["Ready"].reason) == (F, model.Reason.IMPORT_FAILED)
    assert "No module iris" in found["Ready"].message
    assert found["Active"].reason is model.Reason.ACTIVATING


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (model.ReplicaState.PENDING, model.Reason.PENDING),
        (model.ReplicaState.BUILDING_ENVIRONMENT, model.Reason.BUILDING_ENVIRONMENT),
        (model.ReplicaState.STARTING, model.Reason.STARTING),
    ],
)
def test_a_start_is_told_step_by_step(state: model.ReplicaState, reason: model.Reason) -> None:
    view = seen(records.api(), [records.replica("a", state=state)], routed=[])
    assert truths(view)["RevisionReady"] == (F, reason)


def test_a_crashed_replica_is_not_hidden_by_its_siblings() -> None:
    failure = records.failed(model.Reason.EXITED, message="killed by signal 9")
    down = records.replica("b", state=model.ReplicaState.BACKING_OFF, last_failure=failure)
    found = conditions(seen(records.serving(desired=2), [records.replica("a"), down]))
    assert found["ReplicasAvailable"].reason is model.Reason.REPLICAS_UNAVAILABLE
    assert "killed by signal 9" in found["ReplicasAvailable"].message and found["Ready"].status is F


def test_growing_is_no_fault() -> None:
    starting = records.replica("b", state=model.ReplicaState.STARTING)
    assert truths(seen(records.serving(desired=2), [records.replica("a"), starting]))["Ready"][0] is T


def test_the_gateways_own_words_are_passed_on() -> None:
    view = seen(records.serving(), [records.replica("a")])
    refused = dataclasses.replace(view.gateway, rejected={records.NAME: "unknown field"})
    found = conditions(dataclasses.replace(view, gateway=refused))
    assert found["GatewayProgrammed"].reason is model.Reason.GATEWAY_REJECTED
    assert "unknown field" in found["Ready"].message


def test_without_a_gateway_it_is_unknown_whether_callers_get_through() -> None:
    view = disconnected(seen(records.serving(), [records.replica("a")]), for_seconds=5)
    assert truths(view)["GatewayProgrammed"] == (U, model.Reason.GATEWAY_PENDING)
    assert truths(view)["Ready"][0] is U


def test_a_pending_acknowledgement_of_other_endpoints_keeps_it_ready() -> None:
    view = seen(records.serving(desired=2), [records.replica("a"), records.replica("b")], routed=["a"])
    assert truths(view)["GatewayProgrammed"] == (F, model.Reason.GATEWAY_PENDING)
    assert truths(view)["Ready"][0] is T


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    view = seen(records.serving(), [records.replica("a")])
    first = decide(view).status
    later = dataclasses.replace(view, previous=first, observe_time=NOW + 5)
    assert conditions(later, NOW + 5)["Ready"].last_transition_time == NOW
    down = dataclasses.replace(later, replicas=(records.replica("a", state=model.ReplicaState.UNREADY),))
    assert conditions(down, NOW + 5)["Ready"].last_transition_time == NOW + 5


def test_stale_replicas_are_shown_as_unknown() -> None:
    view = seen(records.serving(), [records.replica("a")], observe_time=NOW - 11)
    status = decide(view).status
    assert status is not None
    assert {replica.state for replica in status.replicas} == {model.ReplicaState.UNKNOWN}
    assert (status.ready_replicas, status.routable_replicas) == (0, 0)
    assert truths(view)["RolloutComplete"][0] is T


def test_counts_and_traffic_are_what_the_gateway_acknowledged() -> None:
    api = records.rolling(since=NOW - 5)
    view = seen(api, [records.replica("a"), records.replica("b", "r2", age=1)], gateway_url="http://127.0.0.1:8888")
    status = decide(view).status
    assert status is not None
    assert status.traffic == {"r1": 50, "r2": 50}
    assert (status.ready_replicas, status.updated_replicas, status.routable_replicas) == (2, 1, 2)
    assert status.url == "http://127.0.0.1:8888/iris" and status.reconciling
