"""`cortex doctor` on this machine, with what it lacks put beside it."""

import json
import os
import pathlib
import stat
import sys

import pytest

from cortex_client.running import programs
from tests.client.conftest import Cortex

ALL = {
    "Python", "uv", "conda", "memory limits", "processor shares", "machine", "shared memory", "room for environments",
    "room for model cache", "GPUs", "Neuron devices", "Envoy", "cluster", "Triton",
}  # fmt: skip


def tool(folder: pathlib.Path, name: str, says: str, status: int = 0) -> pathlib.Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Without a cluster, and without what the machine of the tests may have."""
    monkeypatch.setenv("CORTEX_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CORTEX_TRITON_HOME", "CORTEX_CONDA", "CORTEX_UV", "CONDA_EXE", "MAMBA_EXE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def checks(cortex: Cortex, *arguments: str, status: int = 0) -> dict[str, dict[str, str]]:
    result = cortex("doctor", "-o", "json", *arguments)
    assert result.code == status, result
    return {check["name"]: check for check in json.loads(result.out)["checks"]}


def test_everything_is_looked_at_and_what_is_absent_has_a_next_step(cortex: Cortex, home: pathlib.Path) -> None:
    found = checks(cortex, "--python", sys.executable)
    assert found.keys() >= ALL
    assert found["uv"]["state"] == found["Envoy"]["state"] == "ok"
    cluster = found["cluster"]
    assert (cluster["state"], cluster["found"]) == ("absent", f"none runs from {home}/empty")
    assert all(check["next"] for check in found.values() if check["state"] != "ok")
    assert found[f"engines in {sys.executable}"]["found"].startswith("Python 3.")
    shown = cortex("doctor")
    assert shown.code == 0 and "next: start it with `cortex up`" in shown.out
    assert not (home / "empty").exists(), "looking changes nothing"


def test_what_is_there_is_named(cortex: Cortex, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = home / "tools"
    tool(tools, "nvidia-smi", "NVIDIA H100, 81559 MiB, 570.1")
    tool(tools, "micromamba", "2.3.0")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("CORTEX_NEURON_DEVICES", "4")
    found = checks(cortex)
    assert (found["GPUs"]["state"], found["GPUs"]["found"]) == ("ok", "NVIDIA H100, 81559 MiB, 570.1")
    assert found["conda"]["found"] == f"2.3.0 ({tools}/micromamba)"
    assert found["Neuron devices"]["found"] == "4"


def test_what_does_not_run_is_not_there(cortex: Cortex, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = home / "tools"
    tool(tools, "nvidia-smi", "driver mismatch", status=9)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("CORTEX_UV", str(tool(tools, "uv", "broken", status=1)))
    found = checks(cortex, "--python", "/nonexistent/python", status=1)
    assert (found["uv"]["state"], found["GPUs"]["state"]) == ("missing", "absent")
    assert found["engines in /nonexistent/python"]["found"] == "cannot be run: No such file or directory"


def test_without_the_platform_it_says_what_to_install(
    cortex: Cortex, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "installed", lambda module: False)
    found = checks(cortex, status=1)
    assert found["platform"]["next"] == "pip install cortex-platform"
