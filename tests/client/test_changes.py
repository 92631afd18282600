"""Commands that change what is there."""

import json
import pathlib

import pytest

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
