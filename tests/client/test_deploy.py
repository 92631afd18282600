"""`cortex deploy` from folder to URL."""

import json
import pathlib
import zipfile
from io import BytesIO

import grpc
import pytest

from cortex.apiserver.v1 import api_pb2
from tests.client.conftest import YAML, Cortex
from tests.fakes import control_plane
from tests.fakes.control_plane import ControlPlane


def test_a_deploy_ends_with_the_url_on_stdout(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    result = cortex("deploy")
    assert (result.code, result.out) == (0, "http://127.0.0.1:1/iris\n")
    told = [line.split()[:2] for line in result.err.splitlines() if line.startswith("  ok")]
    assert told == [
        ["ok", name] for name in ("bundle", "upload", "environment", "start", "ready", "routed", "complete")
    ]
    assert "installing scikit-learn" in result.err
    assert "1 file, " in result.err
    assert result.err.splitlines()[-1] == "curl http://127.0.0.1:1/iris -H 'content-type: application/json' -d '{}'"
    (stored,) = plane.bundles.values()
    assert zipfile.ZipFile(BytesIO(stored)).namelist() == ["predictor.py"]


def test_a_second_deploy_makes_three_calls_and_no_upload(
    cortex: Cortex, plane: ControlPlane, project: pathlib.Path
) -> None:
    cortex("deploy")
    plane.calls.clear()
    result = cortex("deploy")
    assert result.code == 0
    assert [name for name, _ in plane.calls] == ["GetBundle", "UpdateApi", "WatchApis"]
    assert "already there" in result.err


def test_every_write_carries_a_request_id(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    cortex("deploy")
    (update,) = plane.called("UpdateApi")
    assert update.request_id
    assert update.allow_missing
    assert all(metadata["x-request-id"] for metadata in plane.metadata)


def test_sample_json_is_in_the_command_to_paste(cortex: Cortex, project: pathlib.Path) -> None:
    (project / "sample.json").write_text('{"a": 1}')
    assert cortex("deploy", str(project)).err.rstrip().endswith(f"-d @{project}/sample.json")


def test_a_service_of_its_own_is_tried_by_grpcurl(cortex: Cortex, project: pathlib.Path) -> None:
    (project / "shop.proto").write_text('syntax = "proto3"; package shop; service Texts {}')
    (project / "cortex.yaml").write_text(YAML + "    protobuf_path: shop.proto\n")
    assert cortex("deploy").err.splitlines()[-1] == "grpcurl -plaintext -H 'cortex-api: iris' 127.0.0.1:1 list"


def test_a_model_repository_has_no_predictor_to_call(cortex: Cortex, project: pathlib.Path) -> None:
    predictor = "{type: triton, models: {dir: models}}"
    (project / "cortex.yaml").write_text(f"- {{name: zoo, kind: RealtimeAPI, predictor: {predictor}}}\n")
    (project / "models").mkdir()
    result = cortex("deploy")
    assert (result.code, result.err.splitlines()[-1]) == (0, f"curl {result.out.strip()}/v2/models/stats"), result.err


def test_dotenv_is_exported_and_never_shown(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    (project / ".env").write_text("TOKEN=hunter2\nMODE=from-env\n")
    (project / "cortex.yaml").write_text(YAML + "    env: {MODE: from-yaml}\n")
    results = [cortex("deploy"), cortex("get", "iris", "-o", "yaml"), cortex("describe", "iris")]
    results += [cortex("deploy", "--dry-run"), cortex("deploy", "--dry-run", "-o", "json")]
    assert dict(plane.called("UpdateApi")[0].api.spec.predictor.env) == {"TOKEN": "hunter2", "MODE": "from-yaml"}
    assert [result.code for result in results] == [0] * 5
    assert all("hunter2" not in result.out + result.err for result in results)


def test_a_failed_rollout_shows_the_traceback_and_who_serves(
    cortex: Cortex, plane: ControlPlane, project: pathlib.Path
) -> None:
    cortex("deploy")
    plane.script = control_plane.fail_in_constructor
    result = cortex("deploy")
    assert (result.code, result.out) == (1, "")
    assert result.err.count("ValueError: no weights") == 1
    assert "Error: the rollout of r2-0a1b2c3d failed: CONSTRUCTOR_FAILED" in result.err
    assert "r1-0a1b2c3d still serves" in result.err
    assert "next: correct it and deploy again" in result.err


def test_a_first_rollout_that_fails_says_that_nothing_serves(
    cortex: Cortex, plane: ControlPlane, project: pathlib.Path
) -> None:
    plane.script = control_plane.fail_in_constructor
    assert "no revision of iris serves" in cortex("deploy").err


def test_no_wait_returns_at_once(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    result = cortex("deploy", "--no-wait", "-o", "name")
    assert (result.code, result.out) == (0, "iris\n")
    assert plane.called("WatchApis") == []


@pytest.mark.parametrize("timeout", ["200ms", "0.2"])
def test_a_wait_that_is_too_long_is_a_timeout(
    cortex: Cortex, plane: ControlPlane, project: pathlib.Path, timeout: str
) -> None:
    plane.script = lambda api: []
    result = cortex("deploy", "--timeout", timeout)
    assert result.code == 7
    assert "it goes on; follow it with `cortex get iris -w`" in result.err


def test_a_rollback_meanwhile_ends_the_wait(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    cortex("deploy")

    def rolled_back(api: api_pb2.Api) -> list[api_pb2.Api]:
        starting = control_plane.succeed(api)[1]
        back = api_pb2.Api()
        back.CopyFrom(starting)
        back.generation = back.status.observed_generation = api.generation + 1
        back.status.target_revision = api.status.serving_revision
        back.status.rollout.state = api_pb2.ROLLOUT_STATE_SUPERSEDED
        return [starting, back]

    plane.script = rolled_back
    result = cortex("deploy", "--timeout", "30")
    assert result.code == 4
    assert "another change of iris took the place of r2-" in result.err


def test_the_servers_bounds_point_into_the_file(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    (project / "cortex.yaml").write_text(YAML + "  autoscaling:\n    min_replicas: 5\n    max_replicas: 2\n")
    result = cortex("deploy")
    assert result.code == 1
    assert "cortex.yaml:6:19: autoscaling.min_replicas: must not be above max_replicas" in result.err


def test_a_mistake_in_the_file_costs_no_call(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    (project / "cortex.yaml").write_text(YAML + "  compte: {}\n")
    result = cortex("deploy")
    assert result.code == 1
    assert "cortex.yaml:5:3: compte: no such field (did you mean `compute`?)" in result.err
    assert plane.calls == []


def test_fields_without_effect_are_told(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    (project / "cortex.yaml").write_text(YAML + "    image: mine\n")
    assert "note: iris: predictor.image: replicas run in an environment" in cortex("deploy").err
    assert plane.called("UpdateApi")[0].api.spec.not_in_effect[0].startswith("predictor.image: ")


def test_a_dry_run_shows_the_difference_and_changes_nothing(
    cortex: Cortex, plane: ControlPlane, project: pathlib.Path
) -> None:
    result = cortex("deploy", "--dry-run")
    assert result.out.splitlines() == [
        "+ iris would be created, revision r7-deadbeef",
        "    predictor.config.threshold",
        "  -   0.5",
        "  +   0.7",
        "    predictor.env.TOKEN",
        "  +   <hidden>",
        "  actions:",
        "    1. start 1 replica",
    ]
    assert [name for name, _ in plane.calls] == ["PlanApi", "GetBundle", "UploadBundle", "PlanApi"]
    assert plane.apis == {}
    assert json.loads(cortex("deploy", "--dry-run", "-o", "json").out)["plans"][0]["changes"][1]["after"] == "<hidden>"


def test_several_apis_of_one_file(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    (project / "cortex.yaml").write_text(YAML + YAML.replace("iris", "mpg"))
    result = cortex("deploy", "-n", "team")
    assert result.out.split() == ["http://127.0.0.1:1/iris", "http://127.0.0.1:1/mpg"]
    assert sorted(plane.apis) == ["namespaces/team/apis/iris", "namespaces/team/apis/mpg"]
    assert len(plane.bundles) == 1
    told = [line.split()[:2] for line in result.err.splitlines() if line.startswith(("  ok ready", "iris:", "mpg:"))]
    assert told == [["iris:"], ["ok", "ready"], ["mpg:"], ["ok", "ready"]]


def test_large_projects_are_noticed_without_a_question(cortex: Cortex, project: pathlib.Path) -> None:
    for number in range(1001):
        (project / f"f{number}").touch()
    result = cortex("deploy")
    assert result.code == 0
    assert "the project holds 1002 files" in result.err


@pytest.mark.parametrize(
    ("code", "exit_status"),
    [
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.NOT_FOUND, 3),
        (grpc.StatusCode.ABORTED, 4),
        (grpc.StatusCode.PERMISSION_DENIED, 5),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 7),
    ],
)
def test_exit_statuses(
    cortex: Cortex, plane: ControlPlane, project: pathlib.Path, code: grpc.StatusCode, exit_status: int
) -> None:
    plane.fail("UpdateApi", code, "refused", reason="INTERNAL")
    result = cortex("deploy")
    assert result.code == exit_status
    assert "Error: refused" in result.err


def test_a_break_of_the_control_plane_is_bridged(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    for method in ("GetBundle", "UpdateApi", "WatchApis"):
        plane.fail(method, grpc.StatusCode.UNAVAILABLE)
    assert cortex("deploy").code == 0
    assert len({update.request_id for update in plane.called("UpdateApi")}) == 1
