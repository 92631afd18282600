"""What there is room for."""

import os
import pathlib

import pytest

from runtime import memory


def test_a_process_fits_where_there_is_room() -> None:
    own = memory.proportional(os.getpid())
    assert 0 < own <= memory.resident(os.getpid())
    assert memory.has_room(os.getpid(), [os.getpid()], limit=0)
    assert memory.has_room(os.getpid(), [os.getpid()], limit=4 * own)
    assert not memory.has_room(os.getpid(), [os.getpid()], limit=int(1.5 * own))


def test_a_cgroup_and_those_above_it_limit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for folder, limit, used, cache in ((inner, "max", 1, 0), (inner.parent, "1000", 900, 300)):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text(str(used))
        (folder / "memory.stat").write_text(f"file {cache}\nshmem 50\n")
    # Page cache makes way, shared memory does not.
    assert memory.cgroup_room(tmp_path, "0::/outer/inner\n") == 1000 - (900 - 300 + 50)
    assert memory.cgroup_room(tmp_path, "1:name=systemd:/elsewhere\n") > 1 << 60
