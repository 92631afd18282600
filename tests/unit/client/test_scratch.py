"""The folder of a `cortex run`: gone with the command, or with the next one where it was killed."""

import os
import pathlib
import tempfile

import pytest

from cortex_client.running import scratch


def test_what_a_killed_command_left_goes_and_what_is_in_use_stays(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, other, young = (tmp_path / name for name in ("cortex-run-left", "cortex-other", "cortex-run-young"))
    for each in (left, other, young):
        each.mkdir()
    (left / "admin-token").write_text("secret")
    with scratch.folder() as living:
        assert left.exists()  # it may be somebody's who has not locked it yet
        for each in (left, other, living):
            os.utime(each, (0, 0))
        with scratch.folder() as own:
            assert {*tmp_path.iterdir()} == {other, young, living, own}
    assert {*tmp_path.iterdir()} == {other, young}
