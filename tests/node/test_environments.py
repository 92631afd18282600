"""Environments with the real uv, from wheels made on the spot: no network, no index."""

import asyncio
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from cortex.apiserver.v1 import api_pb2
from cortex.type.v1 import condition_pb2
from services.node import environments, failures, installer, model
from tests.fakes import node_process

_WISH = model.Wish("a-r1-x", "namespaces/d/apis/a/revisions/r1", "namespaces/d/bundles/" + "0" * 64, {})

_SLOW_UV = """#!{python}
import subprocess, sys, time
pip = sys.argv[1] == "pip"
if pip:
    open("{runs}", "a").write("begin ")
    print("   Building slow==1.0", flush=True)
    time.sleep(1)
status = subprocess.call(["{uv}", *sys.argv[1:]])
if pip:
    open("{runs}", "a").write("end ")
sys.exit(status)
"""


def _wheel(folder: pathlib.Path, name: str, version: str = "1.0") -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def _environments(tmp_path: pathlib.Path, **environ: str) -> environments.Environments:
    _wheel(tmp_path / "wheels", "tinything")
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "UV_OFFLINE": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
    }
    return environments.Environments(tmp_path / "envs", {**given, **environ}, timeout=60)


def _imports(python: str, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, timeout=30).returncode == 0


async def test_no_requirements_share_one_environment_that_is_there_at_once(
    tmp_path: pathlib.Path, project: pathlib.Path
) -> None:
    made = _environments(tmp_path)
    began = time.monotonic()
    first = await made.prepare(_WISH, project, lambda _: None)
    assert time.monotonic() - began < 2
    began = time.monotonic()
    assert await made.prepare(dataclasses.replace(_WISH, replica="b"), project, lambda _: None) == first
    assert time.monotonic() - began < 0.1
    assert not _imports(first[1], "tinything") and not _imports(first[1], "grpc")


async def test_many_replicas_build_once(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    (project / "requirements.txt").write_text("tinything\n")
    made, told = _environments(tmp_path), list[str]()
    found = await asyncio.gather(*(made.prepare(_WISH, project, told.append) for _ in range(5)))
    assert len(set(found)) == 1
    assert _imports(found[0][1], "tinything")
    assert told.count("installing 1 packages") == 1


async def test_a_local_package_is_installed_from_a_copy(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    _wheel(project / "vendored", "vendored")
    (project / "requirements.txt").write_text("./vendored/vendored-1.0-py3-none-any.whl\n")
    digest, python = await _environments(tmp_path).prepare(_WISH, project, lambda _: None)
    assert _imports(python, "vendored")
    other = dataclasses.replace(_WISH, bundle="namespaces/d/bundles/" + "1" * 64)
    assert (await _environments(tmp_path).prepare(other, project, lambda _: None))[0] != digest


@pytest.mark.parametrize(
    ("text", "version", "words"),
    [
        ("nosuchthing==9\n", "", "nosuchthing"),
        ("this is == no requirement\n", "", "requirements.txt"),
        (None, "3.99", "this machine has Python .*; name one in predictor.python_version, or install 3.99"),
        (None, "banana", "not a Python version"),
    ],
)
async def test_failures_are_in_the_tools_own_words(
    tmp_path: pathlib.Path, project: pathlib.Path, text: str | None, version: str, words: str
) -> None:
    if text is not None:
        (project / "requirements.txt").write_text(text)
    with pytest.raises(failures.PreparationFailed, match=words) as failed:
        await _environments(tmp_path).prepare(
            dataclasses.replace(_WISH, python_version=version), project, lambda _: None
        )
    assert failed.value.reason is model.Reason.ENVIRONMENT_FAILED
    # Nothing half-built is left, and the next try works once the cause is gone.
    assert not list((tmp_path / "envs").glob("*/venv"))


async def test_what_is_half_built_is_built_anew(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    (project / "requirements.txt").write_text("tinything\n")
    digest, python = await _environments(tmp_path).prepare(_WISH, project, lambda _: None)
    (tmp_path / "envs" / digest / ".complete").unlink()
    next((tmp_path / "envs" / digest).rglob("tinything.py")).unlink()
    assert await _environments(tmp_path).prepare(_WISH, project, lambda _: None) == (digest, python)
    assert _imports(python, "tinything")


async def test_a_broken_download_goes_on_where_it_was(tmp_path: pathlib.Path) -> None:
    async with node_process.running(tmp_path) as node:
        node.bundles.break_after = 128 * 1024
        noise = os.urandom(200_000).hex()
        await node.start_replica("iris-r1-aaaaa", {"predictor.py": "x = 1\n", "noise.txt": noise})
        await node.until_ready("iris-r1-aaaaa")
        assert node.bundles.offsets == [0, 128 * 1024]


async def test_failures_before_the_process_are_told_of(tmp_path: pathlib.Path) -> None:
    async with node_process.running(tmp_path, UV_OFFLINE="1") as node:
        await node.start_replica("iris-r1-bbbbb", {"requirements.txt": "nosuchthing\n"})
        await node.start_replica("iris-r1-ccccc", {"../evil.py": "x\n"})
        reasons = (condition_pb2.CONDITION_REASON_ENVIRONMENT_FAILED, condition_pb2.CONDITION_REASON_BUNDLE_FAILED)
        for name, reason in zip(("iris-r1-bbbbb", "iris-r1-ccccc"), reasons, strict=True):
            found = await node.until(name, lambda r: r is not None and r.HasField("last_failure"))
            assert found is not None
            assert (found.state, found.last_failure.reason) == (api_pb2.REPLICA_STATE_BACKING_OFF, reason)


async def test_a_node_killed_while_it_builds_uses_nothing_half_built(tmp_path: pathlib.Path) -> None:
    """The installer is orphaned when the node dies; the next node waits for it and then builds anew."""
    _wheel(tmp_path / "wheels", "tinything")
    uv = tmp_path / "uv"
    uv.write_text(_SLOW_UV.format(python=sys.executable, uv=installer.find_uv({}), runs=tmp_path / "runs"))
    uv.chmod(0o755)
    environ = {"CORTEX_UV": str(uv), "UV_OFFLINE": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}
    async with node_process.running(tmp_path, **environ) as node:
        await node.start_replica("iris-r1-ddddd", {"requirements.txt": "tinything\n"})
        await node.until("iris-r1-ddddd", lambda r: r is not None and "building slow" in r.message)
        assert node.end(signal.SIGKILL) == -9
        await node.start()
        ready = await node.until_ready("iris-r1-ddddd")
        assert (ready.restart_count, ready.HasField("last_failure")) == (0, False)
    # Begin and end of one run after the other: never two at once.
    assert (tmp_path / "runs").read_text().split() == ["begin", "end", "begin", "end"]
