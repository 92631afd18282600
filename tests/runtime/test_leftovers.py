"""Programs that the user's code started end with their worker, however that ended."""

import os
import pathlib
import signal
from collections.abc import Callable

import pytest

from tests.runtime.replica import Replica, running, wait_for

SOURCE = """
import os, subprocess

class PythonPredictor:
    def __init__(self):
        self.child = subprocess.Popen(["sleep", "1000"])

    def predict(self, query_params):
        if "die" in query_params:
            os.abort()
        return self.child.pid
"""


def runs(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processes_of(replica: Replica) -> list[int]:
    """The front and its guard: all that were started with this replica's configuration."""
    mark = str(replica.folder / "replica.json").encode()
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def kill_front(replica: Replica) -> None:
    replica.process.kill()
    replica.process.wait(5)


def kill_worker(replica: Replica) -> None:
    os.kill(replica.worker_pids[0], signal.SIGKILL)


def crash_worker(replica: Replica) -> None:
    assert replica.client.post("/?die").status_code == 503


@pytest.mark.parametrize("end", [kill_front, kill_worker, crash_worker, Replica.stop])
def test_nothing_is_left_behind(tmp_path: pathlib.Path, end: Callable[[Replica], None]) -> None:
    with running(tmp_path, SOURCE) as replica:
        child = int(replica.client.post("/").text)
        assert runs(child) and len(processes_of(replica)) == 2
        end(replica)
        wait_for(lambda: not runs(child), 5)
        if end in (kill_front, Replica.stop):
            wait_for(lambda: not processes_of(replica), 5)
