"""ApiService over a real connection: what is stored, what becomes of it, and what is refused with which words."""

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from cortex.apiserver.v1 import api_pb2, spec_pb2
from cortex.apiserver.v1 import api_service_pb2 as pb
from services.apiserver import model
from tests.fakes import apiserver as fakes
from tests.fakes.apiserver import IRIS, Apiserver, refused


@pytest.fixture
async def api(tmp_path: pathlib.Path) -> AsyncIterator[Apiserver]:
    async with fakes.running(tmp_path) as running:
        yield running


def masked(spec: spec_pb2.ApiSpec, *paths: str, **request: Any) -> pb.UpdateApiRequest:
    return pb.UpdateApiRequest(api=api_pb2.Api(name=IRIS, spec=spec), update_mask={"paths": paths}, **request)


async def retire(api: Apiserver, *, serving: str) -> None:
    """Does to the record what the reconciler does at the end of a good rollout."""
    import dataclasses

    present = await api.store.get_api(IRIS)
    for revision in await api.store.list_revisions(IRIS, None, 100):
        state = model.RevisionState.SERVING if revision.id == serving else model.RevisionState.RETIRED
        await api.store.set_revision_state(IRIS, revision.id, state, model.Reason.OK, "")
    await api.store.update_api(dataclasses.replace(present, serving_revision=serving), expected_version=present.version)


def target(found: api_pb2.Api) -> str:
    return found.status.target_revision.rpartition("/")[2]


async def test_a_deploy_fills_in_every_default(api: Apiserver) -> None:
    found = await api.deploy(spec=await api.spec(processes_per_replica=2, threads_per_process=3))
    scaling, networking = found.spec.autoscaling, found.spec.networking
    assert (scaling.min_replicas, scaling.init_replicas, scaling.max_replicas) == (1, 1, 100)
    assert scaling.target_in_flight == 6 and scaling.window.seconds == 60
    assert networking.endpoint == "/iris" and networking.request_timeout.seconds == 60
    assert networking.retry_policy == spec_pb2.RETRY_POLICY_ENABLED
    assert found.spec.update_strategy.max_surge == "25%"
    assert (found.generation, found.status.desired_replicas, target(found)[:3]) == (1, 1, "r1-")
    assert found.status.reconciling and found.etag and found.uid
    assert await api.apis.GetApi(pb.GetApiRequest(name=IRIS)) == found
    assert api.enqueued == [IRIS]


async def test_an_api_of_another_namespace_gets_its_own_path(api: Apiserver) -> None:
    found = await api.deploy("namespaces/team/apis/iris")
    assert found.spec.networking.endpoint == "/team/iris"


async def test_create_refuses_a_name_that_is_taken_and_one_that_cannot_be(api: Apiserver) -> None:
    request = pb.CreateApiRequest(parent="namespaces/default", api_id="iris", api={"spec": await api.spec()})
    await api.apis.CreateApi(request)
    taken = await refused(api.apis.CreateApi(request))
    assert (taken.code, taken.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
    for wrong in ("Iris", "i" * 43, "1a", "a_b", "", "a-"):
        request.api_id = wrong
        assert (await refused(api.apis.CreateApi(request))).reason == "INVALID_NAME", wrong


async def test_everything_that_is_wrong_is_told_at_once(api: Apiserver) -> None:
    spec = await api.spec(path="missing.py", env={"CORTEX_X": "1"}, processes_per_replica=101)
    spec.autoscaling.max_replica_concurrency = 30_001
    spec.compute.cpu_millis = 19
    spec.update_strategy.max_surge = "0"
    spec.update_strategy.max_unavailable = "0%"
    error = await refused(api.deploy(spec=spec))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert error.fields.keys() == {
        "predictor.path",
        "predictor.env.CORTEX_X",
        "predictor.processes_per_replica",
        "autoscaling.max_replica_concurrency",
        "compute.cpu",
        "update_strategy.max_unavailable",
    }
    assert "predictor.path" in error.message
    assert (await refused(api.apis.GetApi(pb.GetApiRequest(name=IRIS)))).reason == "NOT_FOUND"


async def test_kinds_that_are_not_built_yet_say_so(api: Apiserver) -> None:
    spec = await api.spec()
    spec.kind = 7  # type: ignore[assignment]
    error = await refused(api.deploy(spec=spec))
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")


async def test_a_bundle_must_have_been_uploaded(api: Apiserver) -> None:
    spec = await api.spec()
    spec.bundle_digest = "sha256:" + "0" * 64
    error = await refused(api.deploy(spec=spec))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUNDLE_MISSING")


async def test_an_endpoint_belongs_to_one_api(api: Apiserver) -> None:
    await api.deploy()
    spec = await api.spec()
    spec.networking.endpoint = "iris/"
    error = await refused(api.deploy("namespaces/default/apis/other", spec=spec))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ENDPOINT_TAKEN")
    assert error.metadata == {"endpoint": "/iris", "api": IRIS}
    assert "networking.endpoint" in error.fields


async def test_the_same_again_changes_nothing(api: Apiserver) -> None:
    first = await api.deploy()
    api.clock.time += 60
    assert await api.deploy() == first


async def test_only_content_makes_a_revision(api: Apiserver) -> None:
    first = await api.deploy()
    spec = await api.spec()
    spec.autoscaling.min_replicas = 3
    scaled = await api.deploy(spec=spec)
    assert (target(scaled), scaled.generation, scaled.status.desired_replicas) == (target(first), 2, 3)
    changed = await api.deploy(spec=await api.spec(config={"threshold": 3}))
    assert target(changed).startswith("r2-") and changed.generation == 3
    assert api.enqueued == [IRIS] * 3


async def test_numbers_of_the_config_stay_whole(api: Apiserver) -> None:
    await api.deploy(spec=await api.spec(config={"n": 3, "x": 0.5, "deep": {"list": [1, None, "a"]}}))
    stored = await api.store.get_api(IRIS)
    assert stored.spec.predictor.config == {"n": 3, "x": 0.5, "deep": {"list": [1, None, "a"]}}
    assert isinstance(stored.spec.predictor.config["n"], int)


async def test_what_failed_is_tried_again_as_a_new_revision(api: Apiserver) -> None:
    first = await api.deploy()
    await api.store.set_revision_state(
        IRIS, target(first), model.RevisionState.FAILED, model.Reason.IMPORT_FAILED, "boom"
    )
    second = await api.deploy()
    assert target(second).startswith("r2-") and target(second)[3:] == target(first)[3:]


async def test_an_old_etag_is_refused_and_none_wins(api: Apiserver) -> None:
    first = await api.deploy()
    await api.deploy(labels={"a": "b"})
    error = await refused(api.deploy(labels={"c": "d"}, etag=first.etag))
    assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    found = await api.deploy(labels={"c": "d"})
    assert dict(found.labels) == {"c": "d"} and found.generation == 1


async def test_a_mask_changes_what_it_names_and_what_follows_from_it(api: Apiserver) -> None:
    await api.deploy(labels={"a": "b"})
    spec = spec_pb2.ApiSpec(autoscaling={"min_replicas": 4}, predictor={"threads_per_process": 5})
    found = await api.apis.UpdateApi(
        masked(spec, "spec.autoscaling.min_replicas", "spec.predictor.threads_per_process", "etag", "status")
    )
    assert (found.spec.autoscaling.min_replicas, found.spec.autoscaling.init_replicas) == (4, 4)
    assert found.spec.autoscaling.target_in_flight == 5
    assert found.spec.predictor.path == "predictor.py" and dict(found.labels) == {"a": "b"}
    assert target(found).startswith("r2-")


async def test_a_mask_of_unknown_fields_is_refused(api: Apiserver) -> None:
    await api.deploy()
    for path in ("spec.autoscaling.minimum", "labels.a", "nonsense"):
        error = await refused(api.apis.UpdateApi(masked(spec_pb2.ApiSpec(), path)))
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT and path in error.fields["update_mask"]
    same = await api.apis.GetApi(pb.GetApiRequest(name=IRIS))
    assert await api.apis.UpdateApi(masked(spec_pb2.ApiSpec(), "status")) == same


async def test_update_of_nothing_needs_leave_to_create(api: Apiserver) -> None:
    error = await refused(api.apis.UpdateApi(masked(await api.spec())))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_request_id_acts_once(api: Apiserver) -> None:
    await api.deploy()
    request = pb.RefreshApiRequest(name=IRIS, request_id="once")
    answers = await asyncio.gather(*(api.apis.RefreshApi(request) for _ in range(5)))
    assert {target(answer)[:2] for answer in answers} == {"r2"}
    other = await refused(api.apis.RollbackApi(pb.RollbackApiRequest(name=IRIS, request_id="once")))
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    api.clock.time += 2 * 86_400
    await api.apis.RefreshApi(pb.RefreshApiRequest(name=IRIS, request_id="another"))
    assert target(await api.apis.RefreshApi(request)).startswith("r4")


async def test_a_request_id_works_for_creating_and_for_doing_nothing(api: Apiserver) -> None:
    request = masked(await api.spec(), allow_missing=True, request_id="deploy")
    first = await api.apis.UpdateApi(request)
    again = masked(await api.spec(), allow_missing=True, request_id="nothing to do")
    assert await api.apis.UpdateApi(again) == first
    await api.deploy(spec=await api.spec(config={"a": 1}))
    for repeated in (request, again):
        assert target(await api.apis.UpdateApi(repeated)).startswith("r2")


async def test_rollback_goes_to_the_one_that_served_before(api: Apiserver) -> None:
    first = await api.deploy()
    assert (await refused(api.apis.RollbackApi(pb.RollbackApiRequest(name=IRIS)))).reason == "NO_PREVIOUS_REVISION"
    await retire(api, serving=target(first))
    spec = await api.spec(config={"v": 2})
    spec.autoscaling.min_replicas = 2
    second = await api.deploy(spec=spec)
    back = await api.apis.RollbackApi(pb.RollbackApiRequest(name=IRIS))
    assert target(back) == target(first), "a rollout in progress is given up for the one that serves"
    assert not back.spec.predictor.config.fields and back.spec.autoscaling.min_replicas == 2
    named = await api.apis.RollbackApi(pb.RollbackApiRequest(name=IRIS, revision_id=target(second)))
    assert target(named) == target(second) and named.spec.predictor.config["v"] == 2
    await retire(api, serving=target(second))
    assert target(await api.apis.RollbackApi(pb.RollbackApiRequest(name=IRIS))) == target(first)
    missing = await refused(api.apis.RollbackApi(pb.RollbackApiRequest(name=IRIS, revision_id="r9-x")))
    assert missing.reason == "NOT_FOUND"


async def test_rollback_passes_over_what_never_served(api: Apiserver) -> None:
    revisions = [target(await api.deploy(spec=await api.spec(f"# {number}"))) for number in (1, 2, 3)]
    await retire(api, serving=revisions[2])
    await api.store.set_revision_state(
        IRIS, revisions[1], model.RevisionState.SUPERSEDED, model.Reason.UNSPECIFIED, "r3 took its place."
    )
    assert target(await api.apis.RollbackApi(pb.RollbackApiRequest(name=IRIS))) == revisions[0]
    named = pb.RollbackApiRequest(name=IRIS, revision_id=revisions[1])
    assert target(await api.apis.RollbackApi(named)) == revisions[1]


async def test_refresh_makes_a_new_revision_of_the_same_content(api: Apiserver) -> None:
    first = await api.deploy()
    again = await api.apis.RefreshApi(pb.RefreshApiRequest(name=IRIS))
    assert target(again) == "r2" + target(first)[2:] and again.generation == first.generation
    name = again.status.target_revision
    revision = await api.apis.GetRevision(pb.GetRevisionRequest(name=name))
    assert revision.number == 2 and revision.cause == 2 and revision.content_digest.startswith("sha256:")
    listed = await api.apis.ListRevisions(pb.ListRevisionsRequest(parent=IRIS, page_size=1))
    assert [r.name for r in listed.revisions] == [name]
    rest = await api.apis.ListRevisions(
        pb.ListRevisionsRequest(parent=IRIS, page_size=1, page_token=listed.next_page_token)
    )
    assert [r.number for r in rest.revisions] == [1] and not rest.next_page_token


async def test_delete_marks_and_repeats(api: Apiserver) -> None:
    first = await api.deploy()
    stale = await refused(api.apis.DeleteApi(pb.DeleteApiRequest(name=IRIS, etag="x")))
    assert stale.reason == "ETAG_MISMATCH"
    gone = await api.apis.DeleteApi(pb.DeleteApiRequest(name=IRIS, etag=first.etag))
    assert gone.HasField("delete_time") and gone.status.reconciling
    assert await api.apis.DeleteApi(pb.DeleteApiRequest(name=IRIS)) == gone
    error = await refused(api.deploy())
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "API_DELETING")
    created = pb.CreateApiRequest(parent="namespaces/default", api_id="iris", api={"spec": await api.spec()})
    assert (await refused(api.apis.CreateApi(created))).reason == "API_DELETING"


async def test_pages_belong_to_their_query(api: Apiserver) -> None:
    for index in range(3):
        await api.deploy(f"namespaces/default/apis/a{index}")
    first = await api.apis.ListApis(pb.ListApisRequest(parent="namespaces/-", page_size=2))
    assert [found.name[-2:] for found in first.apis] == ["a0", "a1"]
    request = pb.ListApisRequest(parent="namespaces/-", page_token=first.next_page_token)
    rest = await api.apis.ListApis(request)
    assert [found.name[-2:] for found in rest.apis] == ["a2"] and not rest.next_page_token
    request.parent = "namespaces/default"
    assert (await refused(api.apis.ListApis(request))).reason == "INVALID_PAGE_TOKEN"
