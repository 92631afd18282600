"""What programs use directly: handles, uploads, typed calls."""

import pathlib
from typing import assert_type

import grpc
import pytest

from cortex.apiserver.v1 import api_pb2, api_service_pb2
from cortex_client import Client, Deployment, exceptions, upload
from cortex_client.project import bundle
from cortex_client.project.errors import ProjectInvalid
from tests.fakes import control_plane
from tests.fakes.control_plane import ControlPlane


def test_deploy_from_a_mapping(plane: ControlPlane, project: pathlib.Path) -> None:
    with Client(address=plane.address) as client:
        deployment = client.deploy(
            {"name": "iris", "predictor": {"type": "python", "path": "predictor.py"}}, project=project
        )
        assert_type(deployment, Deployment)
        api = deployment.wait(timeout=10)
        assert_type(api, api_pb2.Api)
        assert api.status.serving_revision == api.status.target_revision
        assert deployment.url == "http://127.0.0.1:1/iris"
        assert_type(client.plan("cortex.yaml"), list[api_service_pb2.PlanApiResponse])
        assert [api.name for api in client.list_apis()] == ["namespaces/default/apis/iris"]
        assert [gateway.connected for gateway in client.gateways()] == [True]
        assert len(client.history("iris")) == 1


def test_a_mistake_of_a_mapping_names_the_field(plane: ControlPlane, project: pathlib.Path) -> None:
    with Client() as client, pytest.raises(ProjectInvalid, match=r"\(api\): predictor.path: there is no 'p.py'"):
        client.deploy({"name": "iris", "predictor": {"type": "python", "path": "p.py"}})


def test_a_failed_rollout_raises_with_the_traceback(plane: ControlPlane, project: pathlib.Path) -> None:
    plane.script = control_plane.fail_in_constructor
    with Client() as client, pytest.raises(exceptions.RolloutFailed, match="no weights") as caught:
        client.deploy("cortex.yaml").wait(timeout=10)
    assert (caught.value.reason, caught.value.revision) == ("CONSTRUCTOR_FAILED", "r1-0a1b2c3d")


def test_another_deploy_takes_its_place(plane: ControlPlane, project: pathlib.Path) -> None:
    with Client() as client:
        first = client.deploy("cortex.yaml")
        (project / "predictor.py").write_text("# newer")
        client.deploy("cortex.yaml").wait(timeout=10)
        with pytest.raises(exceptions.Conflict, match="took the place of r1"):
            first.wait(timeout=10)


def test_an_api_deleted_meanwhile(plane: ControlPlane, project: pathlib.Path) -> None:
    plane.script = lambda api: []
    with Client() as client:
        deployment = client.deploy("cortex.yaml")
        client.delete("iris").wait_deleted(timeout=10)
        with pytest.raises(exceptions.NotFound, match="deleted meanwhile"):
            deployment.wait(timeout=10)


def _large(project: pathlib.Path) -> bundle.Bundle:
    import random

    (project / "weights.bin").write_bytes(random.Random(1).randbytes(3 * upload.CHUNK))
    return bundle.build(project)


def test_a_broken_upload_goes_on_where_the_server_stands(plane: ControlPlane, project: pathlib.Path) -> None:
    plane.break_upload_at = 2 * upload.CHUNK
    sent: list[tuple[int, int]] = []
    with Client() as client, _large(project) as made:
        progress = lambda done, total: sent.append((done, total))  # noqa: E731
        assert upload.ensure(client.transport, "default", made, progress=progress, sleep=lambda seconds: None)
        assert sent[-1] == (made.size, made.size)
        assert not upload.ensure(client.transport, "default", made)
    assert plane.bundles.keys() == {made.id}
    assert len(plane.called("GetUpload")) == 1


def test_an_upload_that_another_began_is_continued(plane: ControlPlane, project: pathlib.Path) -> None:
    with Client() as client, _large(project) as made:
        plane.uploads[made.id] = bytearray(made.archive.read(1000))
        assert upload.ensure(client.transport, "default", made, sleep=lambda seconds: None)
    assert plane.bundles.keys() == {made.id}


def test_a_full_disk_is_told_at_once(plane: ControlPlane, project: pathlib.Path) -> None:
    plane.fail("UploadBundle", grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk is full", reason="DISK_FULL")
    with Client() as client, pytest.raises(exceptions.LimitReached, match="the disk is full") as caught:
        client.deploy("cortex.yaml")
    assert caught.value.reason == "DISK_FULL"
    assert caught.value.request_id == plane.metadata[-1]["x-request-id"]


def test_metrics_and_decisions(plane: ControlPlane) -> None:
    with Client() as client:
        assert client.metrics("iris").api == "namespaces/default/apis/iris"
        assert client.list_metrics() == []
        assert client.decisions("iris") == []
        with pytest.raises(exceptions.NotFound):
            client.decision("iris")
