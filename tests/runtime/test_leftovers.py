"""Programs that the user's code started end with their worker, however that ended."""

import os
import pathlib
import signal
from collections.abc import Callable

import pytest

from tests.runtime.replica import Replica, running, wait_for

SOURCE = """
import subprocess

class PythonPredictor:
    def __init__(self):
        self.child = subprocess.Popen(["sleep", "1000"])

    def predict(self):
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


def stop(replica: Replica, child: int) -> None:
    assert replica.stop() == 0


def kill_front(replica: Replica, child: int) -> None:
    replica.process.kill()
    replica.process.wait(5)


def kill_worker(replica: Replica, child: int) -> None:
    os.kill(os.getpgid(child), signal.SIGKILL)


def kill_fork_server_and_front(replica: Replica, child: int) -> None:
    os.kill(replica.state["fork_server"], signal.SIGKILL)
    kill_front(replica, child)


def stop_with_a_still_guard(replica: Replica, child: int) -> None:
    (guard,) = (pid for pid in processes_of(replica) if pid != replica.process.pid)
    os.kill(guard, signal.SIGSTOP)
    stop(replica, child)


@pytest.mark.parametrize("end", [kill_front, kill_fork_server_and_front, kill_worker, stop, stop_with_a_still_guard])
def test_nothing_is_left_behind(tmp_path: pathlib.Path, end: Callable[[Replica, int], None]) -> None:
    with running(tmp_path, SOURCE, predictor={"processesPerReplica": 2}) as replica:
        child, workers = int(replica.client.post("/").text), replica.worker_pids
        assert runs(child) and len(processes_of(replica)) == len(workers) == 2
        workers.append(replica.state["fork_server"])
        end(replica, child)
        wait_for(lambda: not runs(child), 5)
        if end is not kill_worker:
            wait_for(lambda: not processes_of(replica) and not any(map(runs, workers)), 5)
