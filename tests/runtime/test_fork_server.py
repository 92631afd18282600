"""Workers are forked from a process that has paid for the imports; where that cannot be, they start as before."""

import os
import pathlib
import signal
from typing import Any

import pytest

from tests.runtime.replica import Replica, running, wait_for

SOURCE = """
import os
import heavy

class PythonPredictor:
    def predict(self):
        return {"pid": os.getpid(), "imported_by": heavy.pid, "parent": os.getppid()}
"""
HEAVY = """
import os
pid = os.getpid()
with open(os.environ["IMPORTED"], "a") as file:
    file.write(f"{pid}\\n")
"""


@pytest.fixture
def libraries(tmp_path: pathlib.Path) -> dict[str, Any]:
    """A package outside of the project, as an installed one is."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    (folder / "heavy.py").write_text(HEAVY)
    return {"env": {"PYTHONPATH": str(folder), "IMPORTED": str(tmp_path / "imported")}, "processesPerReplica": 2}


def ask(replica: Replica) -> dict[str, Any]:
    answer: dict[str, Any] = replica.client.post("/").raise_for_status().json()
    return answer


def imports(folder: pathlib.Path) -> list[int]:
    return [int(line) for line in (folder / "imported").read_text().split()]


def kill_worker(replica: Replica) -> None:
    """Until another one serves in its place."""
    before = replica.worker_pids
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: len(replica.worker_pids) == len(before) and before[0] not in replica.worker_pids)


def test_imports_are_paid_once(tmp_path: pathlib.Path, libraries: dict[str, Any]) -> None:
    with running(tmp_path, SOURCE, predictor=libraries) as replica:
        server = replica.state["fork_server"]
        kill_worker(replica)
        answer = ask(replica)
        assert imports(tmp_path) == [server] == [answer["imported_by"]]
        assert answer["pid"] in replica.worker_pids
        # The front is the parent, so it is the one that learns how a worker ended.
        assert answer["parent"] == replica.process.pid
        assert "w0 was ended by SIGKILL" in replica.wait_line("restarting")["message"]


def test_the_fork_server_may_die(tmp_path: pathlib.Path, libraries: dict[str, Any]) -> None:
    with running(tmp_path, SOURCE, predictor=libraries) as replica:
        server, workers = replica.state["fork_server"], replica.worker_pids
        os.kill(server, signal.SIGKILL)
        replica.wait_line("the fork server was ended by SIGKILL; starting another")
        assert ask(replica)["pid"] in workers == replica.worker_pids
        wait_for(lambda: len(imports(tmp_path)) == 2)
        kill_worker(replica)
        assert len(imports(tmp_path)) == 2


IN_THE_SERVER = "import sys\nif 'fork_server' in sys.orig_argv: "
UNFORKABLE = {
    "thread": (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='own').start()",
        "own",
    ),
    "connection": ("import socket\nkept = socket.socketpair()", "opened socket:["),
    "error": (IN_THE_SERVER + "raise ValueError('once')", "ValueError: once"),
    "crash": (IN_THE_SERVER + "os.abort()", "SIGABRT"),
}


@pytest.mark.parametrize("name", UNFORKABLE)
def test_what_cannot_be_forked_is_spawned(tmp_path: pathlib.Path, libraries: dict[str, Any], name: str) -> None:
    code, why = UNFORKABLE[name]
    (tmp_path / "libraries" / "heavy.py").write_text(HEAVY + code)
    with running(tmp_path, SOURCE, predictor=libraries) as replica:
        line = replica.wait_line("workers get an interpreter of their own")
        assert why in line["message"] and line["level"] == "warning"
        answer = ask(replica)
        assert answer["imported_by"] == answer["pid"]


def test_spawn_on_request(tmp_path: pathlib.Path, libraries: dict[str, Any]) -> None:
    predictor = {**libraries, "worker": {"start": "WORKER_START_SPAWN"}}
    with running(tmp_path, SOURCE, predictor=predictor) as replica:
        assert replica.state["fork_server"] is None
        assert sorted(imports(tmp_path)) == sorted(replica.worker_pids)


@pytest.mark.parametrize("timeout", ["1s", "60s"])
def test_imports_that_do_not_end(tmp_path: pathlib.Path, libraries: dict[str, Any], timeout: str) -> None:
    """They use up start_timeout, once; before that, a stop is a stop."""
    (tmp_path / "libraries" / "heavy.py").write_text("import threading\nthreading.Event().wait()")
    with running(tmp_path, SOURCE, predictor=libraries, config={"startTimeout": timeout}, ready=False) as replica:
        server = wait_for(lambda: replica.state.get("fork_server"))
        if timeout == "60s":
            replica.process.send_signal(signal.SIGTERM)
        assert replica.process.wait(30) == (0 if timeout == "60s" else 1)
        assert not pathlib.Path(f"/proc/{server}").exists()
        if timeout == "1s":
            assert "did not load within 1 s (start_timeout): its imports" in replica.state["failure"]["message"]
