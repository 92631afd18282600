"""worker.start: fork-loaded: the predictor is constructed once, and its workers share what it has loaded."""

import asyncio
import os
import pathlib
import signal
from typing import Any

import pytest

from tests.runtime.replica import Replica, running, wait_for
from tests.runtime.test_fault_table import loaded, replaced

SOURCE = """
import logging, os

class PythonPredictor:
    def __init__(self, config):
        print("constructing")
        self.built_by, self.forked_in = os.getpid(), None
        with open("built", "a") as file:
            file.write("x")

    def after_fork(self):
        self.forked_in = os.getpid()

    def predict(self):
        logging.getLogger("mine").info("predicting")
        return {"pid": os.getpid(), "built_by": self.built_by, "forked_in": self.forked_in}
"""


def policy(workers: int = 3) -> dict[str, Any]:
    return {"processesPerReplica": workers, "worker": {"start": "WORKER_START_FORK_LOADED"}}


def ask(replica: Replica) -> dict[str, Any]:
    answer: dict[str, Any] = replica.client.post("/").raise_for_status().json()
    return answer


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_it_is_constructed_once(tmp_path: pathlib.Path, kind: str) -> None:
    source = SOURCE if kind == "plain" else SOURCE.replace("def after_fork", "async def after_fork")
    source = source if kind == "plain" else source.replace("def predict", "async def predict")
    with running(tmp_path, source, predictor=policy()) as replica:
        template = replica.state["fork_server"]
        answer = ask(replica)
        assert answer["built_by"] == template != answer["pid"] == answer["forked_in"]
        os.kill(answer["pid"], signal.SIGKILL)
        wait_for(replaced(replica, {answer["pid"]}))
        assert ask(replica)["built_by"] == template
        assert (tmp_path / "project" / "built").read_text() == "x"
        line, said = replica.wait_line("constructing"), replica.wait_line("predicting")
        assert (line["worker"], line["source"]) == ("template", "stdout")
        assert said["worker"].startswith("w") and said["request_id"]


async def test_the_template_may_die(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SOURCE, predictor=policy()) as replica:
        template, victim = replica.state["fork_server"], replica.worker_pids[0]
        async with loaded(replica, "SIGKILL of the template") as driver:
            os.kill(template, signal.SIGKILL)
            await asyncio.to_thread(replica.wait_line, "the fork server was ended by SIGKILL")
            assert not driver.record.failed()
            # It would take the memory of another model, so it waits until it is needed.
            await asyncio.to_thread(wait_for, lambda: replica.state["fork_server"] is None)
            assert (tmp_path / "project" / "built").read_text() == "x"
            os.kill(victim, signal.SIGKILL)
            await asyncio.to_thread(wait_for, replaced(replica, {victim}))
        assert len(driver.record.failed()) <= 1
        assert (tmp_path / "project" / "built").read_text() == "xx"


BROKEN = {
    "thread": (
        "import threading; threading.Thread(target=threading.Event().wait, name='mine', daemon=True).start()",
        "CONSTRUCTOR_FAILED",
        ["worker.start is fork-loaded, but the constructor started threads (mine)", "after_fork(self)"],
    ),
    "error": ("1 / 0", "CONSTRUCTOR_FAILED", ["ZeroDivisionError", "predictor.py"]),
    "crash": ("os.abort()", "CONSTRUCTOR_FAILED", ["SIGABRT", "while it loaded the predictor", "Fatal Python error"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_forked_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    code, reason, words = BROKEN[name]
    source = SOURCE.replace('print("constructing")', code)
    with running(tmp_path, source, predictor=policy(), ready=False) as replica:
        assert replica.process.wait(30) == 1
        failure = replica.state["failure"]
        assert failure["reason"] == reason
        assert [word for word in words if word not in failure["message"]] == []


@pytest.mark.parametrize("end", ["return", "raise ValueError('in the child')"])
def test_a_process_that_the_constructor_forks_is_no_fork_server(tmp_path: pathlib.Path, end: str) -> None:
    code = f"""if os.fork() == 0:
            {end}
        os.wait()"""
    with running(tmp_path, SOURCE.replace('print("constructing")', code), predictor=policy()) as replica:
        answer = ask(replica)
        assert answer["built_by"] == replica.state["fork_server"]
        assert len(replica.worker_pids) == 3


def test_what_fails_after_the_fork_is_told(tmp_path: pathlib.Path) -> None:
    source = SOURCE.replace("        self.forked_in = os.getpid()", "        raise LookupError('no device')")
    with running(tmp_path, source, predictor=policy(), ready=False) as replica:
        assert replica.process.wait(30) == 1
        assert "LookupError: no device" in replica.state["failure"]["message"]


def test_models_of_the_constructor_are_shared(tmp_path: pathlib.Path) -> None:
    source = """
    import os

    class PythonPredictor:
        def __init__(self, model_client):
            self.client = model_client
            self.model = model_client.get_model()

        def load_model(self, path):
            return {"by": os.getpid(), "files": sorted(os.listdir(path)) if os.path.isdir(path) else [path]}

        def predict(self):
            return {"shared": self.model is self.client.get_model(), "by": self.model["by"], "pid": os.getpid()}
    """
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "weights.bin").write_bytes(b"w")
    predictor = {**policy(2), "models": {"path": "weights.bin"}}
    with running(tmp_path, source, predictor=predictor) as replica:
        answer = ask(replica)
        assert answer["shared"] and answer["by"] == replica.state["fork_server"] != answer["pid"]


def test_a_shared_connection_is_warned_of(tmp_path: pathlib.Path) -> None:
    source = SOURCE.replace('print("constructing")', "import socket; self.kept = socket.socketpair()")
    with running(tmp_path, source, predictor=policy(1)) as replica:
        line = replica.wait_line("the constructor left open: socket:[")
        assert (line["level"], line["worker"]) == ("warning", "template")


def test_a_reason_that_was_told_is_not_made_up_again(tmp_path: pathlib.Path) -> None:
    """One failed construction is one failed start."""
    broken = "if os.path.exists('broken'):\n            os.remove('broken')\n            raise LookupError('no device')"
    source = SOURCE.replace('print("constructing")', broken)
    with running(tmp_path, source, predictor=policy(1)) as replica:
        template, (victim,) = replica.state["fork_server"], replica.worker_pids
        os.kill(template, signal.SIGKILL)
        wait_for(lambda: replica.state["fork_server"] is None)
        (tmp_path / "project" / "broken").touch()
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: replica.worker_pids not in ([], [victim]))
        failures = [line["message"] for line in replica.lines() if line.get("reason") == "CONSTRUCTOR_FAILED"]
        assert len(failures) == 1 and "LookupError: no device" in failures[0]
