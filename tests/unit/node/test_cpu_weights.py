"""Weights of replicas: proportional, within what the kernel takes, and never insisted on."""

import pathlib

import pytest

from services.node import cpu_weights

_FILES = {1: "cpu.shares", 2: "cpu.weight"}


def _group(root: pathlib.Path, version: int) -> pathlib.Path:
    """As the kernel would make it: its files are there as soon as the folder is."""
    group = root / "cortex-n/a"
    group.mkdir(parents=True)
    for folder in (group, group.parent):
        (folder / _FILES[version]).write_text("")
    return group


@pytest.mark.parametrize(
    ("version", "millis", "value"),
    [(1, 200, "204"), (1, 1000, "1024"), (1, 0, "2"), (2, 1000, "39"), (2, 10_000_000, "10000")],
)
def test_a_request_becomes_a_weight(tmp_path: pathlib.Path, version: int, millis: int, value: str) -> None:
    group = _group(tmp_path, version)
    cpu_weights.Cgroups(tmp_path / "cortex-n", version=version).enclose("a", 7, millis)
    assert (group / _FILES[version]).read_text() == value
    assert (group / "cgroup.procs").read_text() == "7"
    assert int((group.parent / _FILES[version]).read_text()) > int(value) or millis > 10_000
    if version == 2:
        assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"


def test_a_group_without_the_controller_is_told_and_harms_nobody(tmp_path: pathlib.Path) -> None:
    cgroups = cpu_weights.Cgroups(tmp_path / "cortex-n", version=1)
    cgroups.enclose("a", 7, 200)
    assert not (tmp_path / "cortex-n/a").exists()
    cgroups.release("a")
    assert list(tmp_path.iterdir()) == []


def test_without_a_writable_cgroup_there_are_no_weights(tmp_path: pathlib.Path) -> None:
    found = cpu_weights.choose("", "n", root=tmp_path, own="3:cpu,cpuacct:/x\n0::/user")
    assert cpu_weights.describe(found).startswith("none")
    found.enclose("a", 7, 200)
    found.release("a")


def test_what_was_left_behind_is_swept_and_what_is_in_use_stays(tmp_path: pathlib.Path) -> None:
    cgroups = cpu_weights.Cgroups(tmp_path / "cortex-n", version=1)
    for name in ("left", "used"):
        (tmp_path / "cortex-n" / name).mkdir(parents=True)
    # On a real one a process inside does this.
    (tmp_path / "cortex-n/used/process").mkdir()
    cgroups.sweep()
    assert [path.name for path in (tmp_path / "cortex-n").iterdir()] == ["used"]
