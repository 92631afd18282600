"""Colours, completion, usage, start-up, signals: how the command behaves as a program."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from ruamel import yaml

from cortex.apiserver.v1 import event_pb2
from cortex_client.cli import platform, root
from cortex_client.running import programs
from tests.client.conftest import Cortex
from tests.fakes.control_plane import ControlPlane


def test_no_colour_off_a_terminal(cortex: Cortex, project: pathlib.Path) -> None:
    result = cortex("deploy", "--dry-run")
    assert "\x1b" not in result.out + result.err


def test_force_color_and_no_color(
    cortex: Cortex, plane: ControlPlane, project: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m" in cortex("deploy", "--dry-run").out
    plane.events.append(event_pb2.Event(name="e", type="T"))
    assert "\x1b" not in cortex("events").out, "nothing is reset that was not coloured"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in cortex("deploy", "--dry-run").out


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, None),
        ({"NO_COLOR": ""}, None),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_what_decides_on_colour(environ: dict[str, str], wanted: bool | None) -> None:
    assert root.color(environ) is wanted


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(cortex: Cortex, shell: str) -> None:
    result = cortex("completion", shell)
    assert result.code == 0
    assert "_CORTEX_COMPLETE" in result.out


def test_completion_of_names(plane: ControlPlane, project: pathlib.Path, cortex: Cortex) -> None:
    cortex("deploy")
    environ = {**os.environ, "_CORTEX_COMPLETE": "bash_complete", "COMP_WORDS": "cortex get ir", "COMP_CWORD": "2"}
    command = [sys.executable, "-m", "cortex_client.cli"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["plain,iris"]


def test_wrong_usage_is_2_with_a_suggestion(cortex: Cortex) -> None:
    result = cortex("deplyo")
    assert (result.code, result.out) == (2, "")
    assert "Did you mean 'deploy'?" in result.err
    assert cortex("logs").code == 2
    assert cortex("get", "--output", "xml").code == 2
    assert cortex("logs", "iris", "--since", "yesterday").code == 2


def test_the_list_of_commands_says_what_the_commands_say() -> None:
    import click

    context = click.Context(root.cli)
    for name, (_, _, text) in root.COMMANDS.items():
        command = root.cli.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(200) == text


def test_version_needs_neither_grpc_nor_yaml() -> None:
    code = "import sys; from cortex_client.cli import root; root.run(['version']); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"grpc", "ruamel", "rich", "httpx", "google.protobuf", "pathspec"}


def test_get_needs_neither_yaml_nor_http(plane: ControlPlane, project: pathlib.Path) -> None:
    code = "import sys; from cortex_client.cli import root; root.run(['get']); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert not set(done.stdout.split()) & {"ruamel", "ruamel.yaml", "rich", "httpx", "pathspec", "zipfile"}


def test_interrupting_a_wait_leaves_the_deploy_running(plane: ControlPlane, project: pathlib.Path) -> None:
    plane.script = lambda api: []
    process = subprocess.Popen([sys.executable, "-m", "cortex_client.cli", "deploy"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not plane.called("WatchApis") and time.monotonic() < deadline:
        with plane.lock:
            plane.lock.wait(timeout=0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the change of iris goes on; follow it with `cortex get iris -w`" in err
    assert "Traceback" not in err
    assert "namespaces/default/apis/iris" in plane.apis


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_the_version_as_data(cortex: Cortex, form: str) -> None:
    found = yaml.YAML(typ="safe", pure=True).load(cortex("version", "-o", form).out)
    assert found == {"version": cortex("version").out.strip()}


def test_without_the_platform_up_says_how_to_install_it(cortex: Cortex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "_LAUNCHER", "no_such_package.launcher")
    result = cortex("up")
    assert result.code == 1
    assert "next: run `pip install cortex-platform`" in result.err


def test_a_folder_of_the_user_never_runs_as_the_platform(tmp_path: pathlib.Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("print('USER CODE RAN')")
    (tmp_path / "services" / "launcher.py").write_text("print('USER CODE RAN')")
    environ = {**os.environ, "CORTEX_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "cortex_client.cli", "status", "--help"]
    found = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (found.returncode, "USER CODE RAN" in found.stdout + found.stderr) == (0, False), found


def test_a_folder_of_the_user_is_no_platform(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "launcher.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert not programs.installed("ours.launcher")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert programs.installed("ours.launcher"), "the same folder, installed"


def test_environments_by_command(cortex: Cortex, plane: ControlPlane, tmp_path: pathlib.Path) -> None:
    assert cortex("env", "configure", "prod", "--address", plane.address, "-n", "team", "--default").code == 0
    found = json.loads(cortex("env", "list", "-o", "json").out)["environments"]
    assert [(e["name"], e["default"]) for e in found] == [("local", False), ("prod", True)]
    cortex("get")
    assert plane.called("ListApis")[-1].parent == "namespaces/team"
    cortex("get", "-e", "local")
    assert plane.called("ListApis")[-1].parent == "namespaces/default"
    assert cortex("env", "default").out == "prod\n"
    assert json.loads(cortex("env", "default", "-o", "json").out) == {"default": "prod"}
    assert cortex("env", "delete", "prod").code == 0
    assert cortex("env", "delete", "prod").code == 1
    assert cortex("env", "configure", "x", "--address", "nonsense").code == 2
