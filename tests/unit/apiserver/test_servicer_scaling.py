"""ScaleApi: bounds, a wanted number within them, who asked and why; and PlanApi, which changes nothing."""

import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from cortex.apiserver.v1 import api_pb2
from cortex.apiserver.v1 import api_service_pb2 as pb
from cortex.apiserver.v1 import event_service_pb2 as event_pb
from tests.fakes import apiserver as fakes
from tests.fakes.apiserver import IRIS, Apiserver, refused


@pytest.fixture
async def api(tmp_path: pathlib.Path) -> AsyncIterator[Apiserver]:
    async with fakes.running(tmp_path) as running:
        yield running


async def scale(api: Apiserver, **fields: Any) -> api_pb2.Api:
    return await api.apis.ScaleApi(pb.ScaleApiRequest(name=IRIS, **fields))  # type: ignore[no-any-return]


async def events(api: Apiserver) -> list[tuple[str, str, str, int]]:
    found = await api.events.ListEvents(event_pb.ListEventsRequest(parent="namespaces/default", api=IRIS))
    return [(event.type, event.actor, event.message, event.reason) for event in found.events]


async def test_the_wanted_number_is_clamped_and_no_change_of_the_spec(api: Apiserver) -> None:
    spec = await api.spec()
    spec.autoscaling.min_replicas, spec.autoscaling.max_replicas = 0, 5
    spec.autoscaling.init_replicas = 1
    before = await api.deploy(spec=spec)
    found = await scale(api, desired_replicas=9, actor="autoscaler", reason="40 requests in flight")
    assert (found.status.desired_replicas, found.generation) == (5, before.generation)
    assert found.etag != before.etag
    assert (await events(api))[0][:3] == ("ScaledUp", "autoscaler", "From 1 to 5 replicas: 40 requests in flight")
    zero = await scale(api, desired_replicas=0, actor="autoscaler")
    assert zero.status.desired_replicas == 0
    assert (await events(api))[0] == ("ScaledDown", "autoscaler", "From 5 to 0 replicas.", 13)


async def test_a_number_that_is_stored_already_is_written_to_nobody(api: Apiserver) -> None:
    before = await api.deploy()
    looks = len(api.enqueued)
    assert await scale(api, desired_replicas=1, actor="autoscaler") == before
    assert (len(api.enqueued), [kind for kind, *_ in await events(api)]) == (looks, ["ApiCreated"])


async def test_new_bounds_move_the_number_with_them(api: Apiserver) -> None:
    await api.deploy()
    found = await scale(api, min_replicas=3)
    scaling = found.spec.autoscaling
    assert (scaling.min_replicas, scaling.init_replicas, scaling.max_replicas) == (3, 3, 100)
    assert (found.status.desired_replicas, found.generation) == (3, 2)
    down = await scale(api, min_replicas=0, max_replicas=2)
    assert (down.status.desired_replicas, down.generation) == (2, 3)
    assert [kind for kind, *_ in await events(api)][:2] == ["ScaledDown", "ScalingBoundsChanged"]


async def test_wrong_scaling_is_refused(api: Apiserver) -> None:
    await api.deploy()
    for fields, field in (
        ({"max_replicas": 0}, "autoscaling.max_replicas"),
        ({"min_replicas": 7, "max_replicas": 3}, "autoscaling.max_replicas"),
        ({"actor": "somebody"}, "actor"),
        ({"reason": "x" * 1025}, "reason"),
        ({"desired_replicas": -1}, "desired_replicas"),
    ):
        error = await refused(scale(api, **fields))
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT and field in error.fields, fields
    assert (await api.apis.GetApi(pb.GetApiRequest(name=IRIS))).generation == 1


async def plan(api: Apiserver, **predictor: Any) -> pb.PlanApiResponse:
    request = pb.PlanApiRequest(api=api_pb2.Api(name=IRIS, spec=await api.spec(**predictor)))
    return await api.apis.PlanApi(request)  # type: ignore[no-any-return]


async def test_a_plan_of_a_new_api_tells_what_it_would_be(api: Apiserver) -> None:
    planned = await plan(api)
    assert planned.creates and planned.revision_id.startswith("r1-")
    assert planned.api.spec.networking.endpoint == "/iris"
    assert {change.path: change.after for change in planned.changes}["networking.endpoint"] == '"/iris"'
    assert all(change.before == "" for change in planned.changes)
    assert any("start replica" in line for line in planned.actions)
    assert (await refused(api.apis.GetApi(pb.GetApiRequest(name=IRIS)))).reason == "NOT_FOUND"
    assert api.enqueued == []


async def test_a_plan_of_a_change_names_the_fields(api: Apiserver) -> None:
    before = await api.deploy(spec=await api.spec(config={"a": {"b": 1}, "gone": True}))
    planned = await plan(api, config={"a": {"b": 2}})
    changes = {change.path: (change.before, change.after) for change in planned.changes}
    assert changes == {"predictor.config.a.b": ("1", "2"), "predictor.config.gone": ("true", "")}
    assert not planned.creates and planned.revision_id.startswith("r2-")
    assert planned.api.status.target_revision.endswith(planned.revision_id)
    assert await api.apis.GetApi(pb.GetApiRequest(name=IRIS)) == before
    assert json.loads(planned.changes[0].after) == 2


async def test_a_plan_needs_no_upload(api: Apiserver) -> None:
    spec = await api.spec()
    spec.bundle_digest = await api.upload(predictor_py="class PythonPredictor: pass", requirements_txt="six")
    await api.deploy(spec=spec)
    spec.bundle_digest = "sha256:" + "0" * 64
    planned = await api.apis.PlanApi(pb.PlanApiRequest(api=api_pb2.Api(name=IRIS, spec=spec)))
    assert [change.path for change in planned.changes] == ["bundle_digest"]
    assert planned.revision_id.startswith("r2-") and any("start replica" in line for line in planned.actions)
    assert "not checked" in planned.actions[0] and spec.bundle_digest in planned.actions[0]
    spec.predictor.processes_per_replica = 0
    spec.predictor.path = ""
    wrong = await refused(api.apis.PlanApi(pb.PlanApiRequest(api=api_pb2.Api(name=IRIS, spec=spec))))
    assert "predictor.path" in wrong.fields


async def test_a_plan_of_no_change_is_empty(api: Apiserver) -> None:
    await api.deploy()
    planned = await plan(api)
    assert (list(planned.changes), list(planned.actions), planned.revision_id) == ([], [], "")
