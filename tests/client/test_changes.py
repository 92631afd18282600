"""Commands that change what is there."""

import io
import json
import pathlib
import sys

import pytest

from cortex.apiserver.v1 import api_pb2
from cortex_client.cli import output
from tests.client.conftest import Cortex
from tests.fakes import control_plane
from tests.fakes.control_plane import ControlPlane


@pytest.fixture
def deployed(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    cortex("deploy")
    plane.calls.clear()


@pytest.mark.usefixtures("deployed")
def test_rollback_goes_to_the_revision_named(cortex: Cortex, plane: ControlPlane) -> None:
    result = cortex("rollback", "iris", "--to", "r1-0a1b2c3d")
    assert (result.code, result.out) == (0, "iris  r1-0a1b2c3d  ready\n")
    assert plane.called("RollbackApi")[0].revision_id == "r1-0a1b2c3d"


@pytest.mark.usefixtures("deployed")
def test_refresh_waits_for_the_new_replicas(cortex: Cortex, plane: ControlPlane) -> None:
    assert cortex("refresh", "iris").out == "iris  r2-0a1b2c3d  ready\n"
    assert plane.called("RefreshApi")[0].request_id


@pytest.mark.usefixtures("deployed")
def test_a_refresh_that_fails_says_who_serves(cortex: Cortex, plane: ControlPlane) -> None:
    plane.script = control_plane.fail_in_constructor
    result = cortex("refresh", "iris")
    assert result.code == 1
    assert "r1-0a1b2c3d still serves" in result.err


@pytest.mark.usefixtures("deployed")
def test_scale_sends_only_what_was_given(cortex: Cortex, plane: ControlPlane) -> None:
    result = cortex("scale", "iris", "--min", "0", "--replicas", "3", "-o", "json")
    (request,) = plane.called("ScaleApi")
    assert (request.min_replicas, request.HasField("max_replicas"), request.desired_replicas) == (0, False, 3)
    assert request.HasField("min_replicas")
    assert json.loads(result.out)["status"]["ready_replicas"] == 3


@pytest.mark.usefixtures("deployed")
def test_scale_tells_how_many_there_are(cortex: Cortex) -> None:
    assert cortex("scale", "iris", "--replicas", "3").out == "iris  3 ready of 3 wanted, between 1 and 100\n"


@pytest.mark.usefixtures("deployed")
def test_scale_without_a_number_is_wrong_usage(cortex: Cortex, plane: ControlPlane) -> None:
    result = cortex("scale", "iris")
    assert result.code == 2
    assert "give --min, --max or --replicas" in result.err
    assert plane.calls == []


@pytest.mark.usefixtures("deployed")
def test_delete_waits_until_it_is_gone(cortex: Cortex, plane: ControlPlane) -> None:
    result = cortex("delete", "iris", "-y")
    assert (result.code, result.out) == (0, "iris  deleted\n")
    assert plane.apis == {}


@pytest.mark.usefixtures("deployed")
def test_delete_off_a_terminal_needs_a_yes(cortex: Cortex, plane: ControlPlane) -> None:
    result = cortex("delete", "iris")
    assert result.code == 2
    assert "deleting needs -y" in result.err
    assert plane.called("DeleteApi") == []


@pytest.mark.usefixtures("deployed")
def test_the_question_before_a_delete_says_what_stays(
    cortex: Cortex, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    result = cortex("delete", "iris")
    assert (result.code, result.err.splitlines()[-1]) == (1, "Delete iris? [y/N]: nothing is deleted")
    assert "there is no rollback: its revisions go with it" in result.err
    assert "Kept for a while: its metrics (14 days), its events and log lines" in result.err
    assert plane.called("DeleteApi") == []


@pytest.mark.usefixtures("deployed")
def test_a_rollback_says_who_serves_again(cortex: Cortex) -> None:
    assert cortex("rollback", "iris").err.splitlines()[-1] == "r1-0a1b2c3d serves iris again"


@pytest.mark.usefixtures("deployed")
def test_a_rollback_out_of_a_failed_update_has_nothing_to_move(cortex: Cortex, plane: ControlPlane) -> None:
    def stay(api: api_pb2.Api) -> list[api_pb2.Api]:
        """As the platform does: the failed rollout is still the last one there was."""
        (done,) = control_plane.succeed(api)[-1:]
        done.status.rollout.to_revision = f"{api.name}/revisions/r2-bad"
        done.status.rollout.state = api_pb2.ROLLOUT_STATE_FAILED
        done.status.conditions.append(control_plane.condition("ReplicasAvailable", True))
        return [done]

    plane.script = stay
    result = cortex("rollback", "iris")
    assert (result.code, result.out) == (0, "iris  r1-0a1b2c3d  ready (update failed)\n")
    assert result.err.splitlines()[-1] == (
        "r1-0a1b2c3d serves iris, as it did before: nothing had to move, and r2-bad stays given up"
    )


@pytest.mark.usefixtures("plane")
def test_what_is_not_there_comes_with_where_to_look(cortex: Cortex, project: pathlib.Path) -> None:
    assert "next: `cortex get -A` lists the APIs" in cortex("rollback", "iris").err
    assert "next: `cortex history iris` lists its revisions" in cortex("rollback", "iris", "--to", "r9").err
