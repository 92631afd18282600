"""The fork server starts before the front has imported anything, and ends with it whatever comes of the front."""

import json
import pathlib
import signal
import socket
import sys
from typing import Any

import pytest

from runtime import config, guard, head_start, proto_json
from tests.runtime.replica import running, wait_for

SOURCE = """
import time

class PythonPredictor:
    def predict(self):
        return {}
"""


class Groups(guard.Guard):
    """A guard that only takes notes."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def began(self, group: int) -> None:
        self.seen.append(group)


def settings(folder: pathlib.Path, predictor: dict[str, Any], **told: Any) -> config.Settings:
    (folder / "predictor.py").write_text("import colorsys\n" + SOURCE)
    document = {"spec": {"predictor": {"path": "predictor.py", **predictor}}, "projectDir": str(folder)}
    document |= {"python": sys.executable, **told}
    return config.convert(proto_json.Message(document))


def test_it_imports_before_the_front_says_a_word(tmp_path: pathlib.Path) -> None:
    groups = Groups()
    launched = head_start.begin(settings(tmp_path, {}), groups)
    assert launched is not None and launched.told
    (sock,) = launched.socks
    with sock, open(launched.stdout, "rb"), open(launched.stderr, "rb"):
        assert groups.seen == [launched.process.pid]
        sock.settimeout(15)
        assert json.loads(sock.recv(65536)) == {"ready": ["colorsys", "time"]}
    assert launched.process.wait(15) == 0


@pytest.mark.parametrize(
    ("predictor", "told"),
    [
        ({"worker": {"start": "WORKER_START_SPAWN"}}, {}),
        ({"worker": {"start": "WORKER_START_FORK_LOADED"}}, {}),
        ({"type": "PREDICTOR_TYPE_TRITON"}, {}),
        ({"processesPerReplica": 2}, {"neuronCoreCount": 3}),
        ({}, {"python": "/nowhere/python"}),
    ],
)
def test_nothing_is_started_where_the_front_is_to_see_first(
    tmp_path: pathlib.Path, predictor: dict[str, Any], told: dict[str, Any]
) -> None:
    groups = Groups()
    assert head_start.begin(settings(tmp_path, predictor, **told), groups) is None
    assert groups.seen == []


def fork_servers_of(front: int) -> list[int]:
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"\0fork_server\0{front}\0".encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_a_front_that_cannot_listen_leaves_none(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with running(tmp_path, SOURCE, config={"httpAddress": address}, ready=False) as replica:
            assert replica.process.wait(15) == 1
            wait_for(lambda: not fork_servers_of(replica.process.pid), 5)
    assert "address already in use" in (tmp_path / "stderr").read_text().lower()


def test_a_front_that_is_stopped_while_it_imports_leaves_none(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SOURCE, ready=False) as replica:
        wait_for(lambda: fork_servers_of(replica.process.pid) or replica.process.poll() is not None)
        replica.process.send_signal(signal.SIGTERM)
        replica.process.wait(15)
        wait_for(lambda: not fork_servers_of(replica.process.pid), 5)


def test_a_bad_config_starts_none(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SOURCE, config={"httpAddress": 7}, ready=False) as replica:
        assert replica.process.wait(15) == 1
        assert not fork_servers_of(replica.process.pid)
    assert "ParseError" in (tmp_path / "stderr").read_text()
