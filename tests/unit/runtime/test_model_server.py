"""The part that runs models, when it is stopped before it has begun."""

import pathlib

import pytest

from runtime import config, logs, proto_json
from runtime.triton import part
from tests.triton import stand


async def test_stopped_before_its_start_it_removes_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no folder of its own yet, and the current one is somebody's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somebodys").mkdir()
    (tmp_path / "somebodys/file").touch()
    log = logs.LogFile("", "info")
    server = part.ModelServer(config.convert(proto_json.Message({})), log, stand.Unwatched(), lambda: None, None)
    await server.stop()
    log.close()
    assert (tmp_path / "somebodys/file").exists()
