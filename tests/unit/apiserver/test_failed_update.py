"""After an update that failed: whoever wants what serves again has answered it, and the API is ready."""

import dataclasses
import pathlib
from collections.abc import AsyncIterator

import pytest

from cortex.apiserver.v1 import api_pb2
from cortex.apiserver.v1 import api_service_pb2 as pb
from cortex.apiserver.v1 import event_service_pb2 as event_pb
from services.apiserver import model
from tests.fakes import apiserver as fakes
from tests.fakes import records
from tests.fakes.apiserver import IRIS, Apiserver
from tests.fakes.observed import decide, effects, seen

FAILED = api_pb2.ROLLOUT_STATE_FAILED


@pytest.fixture
async def api(tmp_path: pathlib.Path) -> AsyncIterator[Apiserver]:
    async with fakes.running(tmp_path) as running:
        yield running


async def fail(api: Apiserver, text: str | None = "# broken") -> str:
    """An API that serves, and an update of it that did not make it. Returns the revision that serves."""
    first = (await api.deploy()).status.target_revision.rpartition("/")[2]
    present = await api.store.get_api(IRIS)
    await api.store.update_api(dataclasses.replace(present, serving_revision=first), expected_version=present.version)
    if text is None:
        await api.apis.RefreshApi(pb.RefreshApiRequest(name=IRIS))
    else:
        await api.deploy(spec=await api.spec(text))
    present = await api.store.get_api(IRIS)
    reason = model.Reason.IMPORT_FAILED
    over = model.Rollout(model.RolloutState.FAILED, first, present.target_revision, 1.0, 2.0, 3.0, reason, "boom")
    given_up = dataclasses.replace(present, target_revision=first, rollout=over)
    await api.store.update_api(given_up, expected_version=present.version)
    await api.store.set_revision_state(IRIS, over.to_revision, model.RevisionState.FAILED, reason, "boom")
    return first


@pytest.mark.parametrize("text", ["# broken", None])
async def test_a_rollback_answers_it(api: Apiserver, text: str | None) -> None:
    first = await fail(api, text)
    found = await api.apis.RollbackApi(pb.RollbackApiRequest(name=IRIS))
    status = found.status
    assert status.target_revision.endswith(first) and status.serving_revision.endswith(first)
    assert (status.rollout.state, status.rollout.message) == (api_pb2.ROLLOUT_STATE_SUPERSEDED, "boom")
    events = await api.events.ListEvents(event_pb.ListEventsRequest(parent="namespaces/default", api=IRIS))
    assert events.events[0].type == "RolledBack"
    assert status.rollout.to_revision.rpartition("/")[2] in events.events[0].message


async def test_a_deploy_of_what_serves_answers_it(api: Apiserver) -> None:
    first = await fail(api)
    found = await api.deploy()
    assert found.status.target_revision.endswith(first)
    assert found.status.rollout.state == api_pb2.ROLLOUT_STATE_SUPERSEDED


async def test_scaling_does_not_answer_it(api: Apiserver) -> None:
    await fail(api)
    found = await api.apis.ScaleApi(pb.ScaleApiRequest(name=IRIS, min_replicas=2))
    assert found.status.rollout.state == FAILED


def test_an_answered_failure_is_ready_and_stays_distrusted() -> None:
    reason = model.Reason.REVISION_UNHEALTHY
    over = model.Rollout(model.RolloutState.SUPERSEDED, "r1", "r2", 1.0, 2.0, 3.0, reason, "boom")
    left = records.replica("b", "r2", age=5)
    view = seen(records.api(target="r1", serving="r1", rollout=over), [records.replica("a"), left], routed=["a"])
    broken = dataclasses.replace(view.revisions["r2"], state=model.RevisionState.FAILED, reason=reason)
    view = dataclasses.replace(view, revisions={**view.revisions, "r2": broken})
    plan = decide(view)
    assert plan.status is not None
    ready = {condition.type: condition.status for condition in plan.status.conditions}
    assert (ready["Ready"], ready["RolloutComplete"]) == (model.Truth.TRUE, model.Truth.TRUE)
    assert effects(plan) == ["stop replica b of r2, draining for at most 60 s"]
