"""Reading a status: when to stop waiting, and what to tell meanwhile."""

import pytest

from cortex.apiserver.v1 import api_pb2
from cortex.type.v1 import condition_pb2
from cortex_client import rollouts
from cortex_client.rollouts import Phase, Step, Verdict
from tests.fakes import control_plane
from tests.fakes.control_plane import condition

NAME = "namespaces/default/apis/iris"
NEW, OLD = f"{NAME}/revisions/r2-b", f"{NAME}/revisions/r1-a"


def api(serving: str = OLD, target: str = NEW, rollout: str = NEW, state: int = 1, observed: int = 2) -> api_pb2.Api:
    made = api_pb2.Api(name=NAME, generation=2)
    made.status.observed_generation = observed
    made.status.serving_revision, made.status.target_revision = serving, target
    made.status.rollout.to_revision = rollout
    made.status.rollout.state = api_pb2.RolloutState.Name(state)  # type: ignore[assignment]
    return made


def ready(made: api_pb2.Api, complete: bool = True) -> api_pb2.Api:
    made.status.conditions.extend([condition("Ready", True), condition("RolloutComplete", complete)])
    return made


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (api(), Verdict.PENDING),
        (ready(api(serving=NEW, state=2)), Verdict.DONE),
        (ready(api(serving=NEW, state=2, observed=1)), Verdict.PENDING),
        (ready(api(serving=OLD)), Verdict.PENDING),
        (ready(api(serving=NEW), complete=False), Verdict.PENDING),
        (api(serving=NEW, state=2), Verdict.PENDING),
        (ready(api(state=3)), Verdict.FAILED),
        (ready(api(target=OLD, state=3)), Verdict.FAILED),
        (ready(api(target=f"{NAME}/revisions/r3-c", rollout=f"{NAME}/revisions/r3-c")), Verdict.SUPERSEDED),
        (ready(api(target=OLD, state=4)), Verdict.SUPERSEDED),
        (ready(api(target=OLD)), Verdict.SUPERSEDED),
        (ready(api(target=OLD, state=4, observed=1)), Verdict.PENDING),
    ],
    ids=[
        "rolling",
        "done",
        "stale status",
        "old serves",
        "incomplete",
        "not ready",
        "failed",
        "rolled back",
        "superseded",
        "rolled back to what serves",
        "rolled back, not yet acted upon",
        "rolled back, as seen before our change",
    ],
)
def test_verdicts(made: api_pb2.Api, verdict: Verdict) -> None:
    assert rollouts.judge(made, 2, NEW) is verdict


def test_phases_follow_the_replicas() -> None:
    made = api_pb2.Api(name=NAME, generation=1)
    made.status.target_revision = NEW
    made.status.rollout.to_revision = NEW
    building, starting, loaded, routed, done = control_plane.succeed(made)
    told = [rollouts.phases(state, 1, NEW) for state in (made, building, starting, loaded, routed, done)]
    assert told[0][0] == Phase("environment", Step.RUNNING)
    assert told[1][0] == Phase("environment", Step.RUNNING, "installing scikit-learn")
    assert [phase.step for phase in told[2]] == [Step.DONE, Step.RUNNING, Step.WAITING, Step.WAITING, Step.WAITING]
    assert [phase.step for phase in told[3]] == [Step.DONE, Step.DONE, Step.DONE, Step.RUNNING, Step.WAITING]
    assert [phase.step for phase in told[4]] == [Step.DONE] * 4 + [Step.RUNNING]
    assert [phase.step for phase in told[5]] == [Step.DONE] * 5


def test_replicas_on_their_way_out_do_not_count() -> None:
    made = api_pb2.Api(name=NAME, generation=1)
    made.status.observed_generation, made.status.target_revision = 1, NEW
    made.status.replicas.add(revision=NEW, state=api_pb2.REPLICA_STATE_DRAINING, message="finishing its requests")
    environment, *_ = rollouts.phases(made, 1, NEW)
    assert environment == Phase("environment", Step.RUNNING)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (api_pb2.Api(), "pending"),
        (ready(api(serving=NEW, state=2)), "ready"),
        (ready(api()), "updating"),
        (ready(api(state=3)), "ready (update failed)"),
    ],
)
def test_summaries(made: api_pb2.Api, words: str) -> None:
    assert rollouts.summary(made) == words


def test_summary_of_an_idle_an_unknown_and_a_broken_api() -> None:
    idle = ready(api(serving=NEW, state=2))
    idle.status.conditions.append(condition("Active", False, condition_pb2.CONDITION_REASON_SCALED_TO_ZERO))
    assert rollouts.summary(idle) == "scaled to zero"
    unknown = api(serving=NEW, state=2)
    unknown.status.conditions.add(type="Ready", status=condition_pb2.CONDITION_STATUS_UNKNOWN)
    assert rollouts.summary(unknown) == "unknown"
    broken = api(serving=NEW, state=2)
    broken.status.conditions.append(condition("Ready", False, condition_pb2.CONDITION_REASON_CRASH_LOOP))
    assert rollouts.summary(broken) == "crash loop"


def test_an_update_that_failed_does_not_make_the_old_revision_look_down() -> None:
    failed = api(state=3)
    failed.status.conditions.append(condition("Ready", False, condition_pb2.CONDITION_REASON_CONSTRUCTOR_FAILED))
    assert rollouts.summary(failed) == "constructor failed"
    failed.status.conditions.append(condition("ReplicasAvailable", True))
    assert rollouts.summary(failed) == "ready (update failed)"


def test_going_back_to_what_serves_is_done_although_the_last_rollout_failed() -> None:
    back = api(serving=OLD, target=OLD, rollout=NEW, state=3)
    back.status.conditions.append(condition("Ready", False, condition_pb2.CONDITION_REASON_CONSTRUCTOR_FAILED))
    assert rollouts.judge(back, 2, OLD) is Verdict.PENDING
    back.status.conditions.append(condition("RevisionReady", True))
    assert rollouts.judge(back, 2, OLD) is Verdict.DONE
