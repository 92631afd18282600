"""What goes wrong: loads that fail, workers that die, queues that fill, time that runs out, and the end."""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.runtime.replica import Replica, running, wait_for

SLOW = """
import os, time

class PythonPredictor:
    def __init__(self, config):
        pass

    def predict(self, query_params):
        mode = query_params.get("mode", "")
        if mode == "sleep":
            print("begun", query_params.get("n", ""))
            end = time.monotonic() + float(query_params["seconds"])
            while time.monotonic() < end:
                time.sleep(0.005)
            print("finished", query_params.get("n", ""))
        if mode == "die":
            os.abort()
        return os.getpid()
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def in_background(replica: Replica, count: int, **params: Any) -> list["concurrent.futures.Future[Any]"]:
    pool = concurrent.futures.ThreadPoolExecutor(count)
    return [pool.submit(replica.client.post, "/", params={**params, "n": n}) for n in range(count)]


BROKEN = {
    "missing module": ("import nothing_like_this", "IMPORT_FAILED", "No module named 'nothing_like_this'"),
    "syntax": ("def f(:", "IMPORT_FAILED", "SyntaxError"),
    "exit": ("raise SystemExit(0)", "IMPORT_FAILED", "SystemExit"),
    "no class": ("class Other: pass", "INVALID_PREDICTOR", "must have a class PythonPredictor"),
    "argument of predict": (
        "class PythonPredictor:\n    def predict(self, data): pass",
        "INVALID_PREDICTOR",
        "asks for 'data'",
    ),
    "argument of the constructor": (
        "class PythonPredictor:\n    def __init__(self, x): pass\n    def predict(self): pass",
        "INVALID_PREDICTOR",
        "'x'",
    ),
    "constructor": (
        "class PythonPredictor:\n    def __init__(self, config):\n        1 / 0\n    def predict(self): pass",
        "CONSTRUCTOR_FAILED",
        "ZeroDivisionError",
    ),
    "native crash": (
        "import os\nclass PythonPredictor:\n    def __init__(self): os.abort()\n    def predict(self): pass",
        "CONSTRUCTOR_FAILED",
        "SIGABRT",
    ),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Replica]]:
    """One replica of each, started side by side."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                running(tmp_path_factory.mktemp("broken"), source, predictor={"processesPerReplica": 2}, ready=False)
            )
            for name, (source, _, _) in BROKEN.items()
        }


@pytest.mark.parametrize("name", BROKEN)
def test_a_load_failure_ends_the_replica_and_says_why(broken: dict[str, Replica], name: str) -> None:
    (_, reason, text), replica = BROKEN[name], broken[name]
    assert replica.process.wait(60) == 1  # eight start at once
    failure = replica.state["failure"]
    assert (failure["reason"], replica.state["state"]) == (reason, "UNREADY")
    assert text in failure["message"]
    assert "runtime/shim" not in failure["message"].split("Fatal Python error")[0]
    assert not any(worker["pid"] and alive(worker["pid"]) for worker in replica.state["workers"])


def test_before_it_is_ready_it_lives_and_refuses(tmp_path: pathlib.Path) -> None:
    source = "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n" + SLOW
    with running(tmp_path, source, ready=False) as replica:
        wait_for(lambda: replica.state["state"] == "STARTING" and connects(replica))
        assert replica.client.get("/healthz/live").status_code == 200
        assert replica.client.get("/healthz/ready").status_code == 503
        refused = replica.client.post("/")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        (tmp_path / "project" / "go").touch()
        replica.wait_state("READY")
        assert replica.client.get("/healthz/ready").status_code == 200


def connects(replica: Replica) -> bool:
    try:
        replica.connect().close()
    except OSError:
        return False
    return True


def test_a_crash_costs_only_the_request_inside(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SLOW, predictor={"processesPerReplica": 2}) as replica:
        pids = set(replica.worker_pids)
        sibling = in_background(replica, 1, mode="sleep", seconds=0.5)[0]
        replica.wait_line("begun")
        died = replica.client.post("/?mode=die")
        assert (died.status_code, died.headers["x-cortex-retry"], died.headers["retry-after"]) == (
            503,
            "worker-died",
            "1",
        )
        assert sibling.result().status_code == 200
        assert replica.client.get("/healthz/ready").status_code == 200
        wait_for(lambda: len(set(replica.worker_pids)) == 2 and set(replica.worker_pids) != pids)
        assert "Fatal Python error: Aborted" in replica.wait_line("Fatal Python")["message"]


def test_what_waits_survives_the_only_worker(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SLOW) as replica:
        # Short calls let the worker have some ahead of time; those it had not begun must not be lost.
        for _ in range(60):
            replica.client.post("/")
        holder = in_background(replica, 1, mode="sleep", seconds=30)[0]
        replica.wait_line("begun")
        waiting = in_background(replica, 20)
        wait_for(lambda: all(future.running() for future in waiting))
        os.kill(replica.worker_pids[0], signal.SIGKILL)
        assert holder.result().status_code == 503
        assert [future.result().status_code for future in waiting] == [200] * 20


def test_a_crash_loop_is_told(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SLOW) as replica:

        def crash() -> bool:
            replica.client.post("/?mode=die")
            failure = replica.state["failure"]
            return bool(failure) and failure["reason"] == "CRASH_LOOP"

        wait_for(crash, 30)
        assert "SIGABRT" in replica.state["failure"]["message"]
        assert replica.state["state"] == "UNREADY"
        assert replica.client.get("/healthz/ready").status_code == 503


def test_the_first_crash_loop_is_short(tmp_path: pathlib.Path) -> None:
    """One caller who repeats what ends a worker makes the next one wait, but not for long."""
    with running(tmp_path, SLOW) as replica:
        for _ in range(5):
            replica.client.post("/?mode=die")
        replica.wait_state("UNREADY")
        began = time.monotonic()
        wait_for(lambda: replica.client.get("/healthz/ready").status_code == 200)
        assert time.monotonic() - began < 4
        wait_for(lambda: replica.state["failure"] is None)


def test_who_answers_others_in_between_is_in_no_crash_loop(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SLOW) as replica:
        for attempt in range(1, 9):
            died = replica.client.post("/?mode=die", headers={"x-envoy-attempt-count": str(attempt)})
            assert (died.status_code, "x-cortex-retry" in died.headers) == (503, attempt <= 2)
            began = time.monotonic()
            assert replica.client.post("/").status_code == 200
            assert time.monotonic() - began < 2
        assert replica.state["failure"] is None
        line = replica.wait_line("restarting")
        assert (line["message"], line["worker"]) == ("worker w0 was ended by SIGABRT; restarting", "w0")


def test_the_queue_is_bounded_and_time_is_kept(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SLOW, spec={"autoscaling": {"maxReplicaConcurrency": 3}}) as replica:
        held = in_background(replica, 1, mode="sleep", seconds=1.0)[0]
        replica.wait_line("begun")
        with replica.connect() as late, replica.connect() as patient:
            # Both are in the replica's socket buffers before the next one connects.
            began = time.monotonic()
            late.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nx-request-timeout-ms: 300\r\n\r\n")
            patient.sendall(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n")
            full = replica.client.post("/")
            assert (full.status_code, full.headers["retry-after"]) == (503, "1")
            assert "queue is full" in full.json()["error"]
            assert late.recv(1000).startswith(b"HTTP/1.1 504 ")
            # Answered on time although the worker is busy for another while.
            assert 0.29 < time.monotonic() - began < 0.6
            assert not held.done()
            assert patient.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert held.result().status_code == 200


def test_a_deadline_ends_a_running_request(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SLOW, spec={"networking": {"requestTimeout": "0.3s"}}) as replica:
        began = time.monotonic()
        assert replica.client.post("/?mode=sleep&seconds=20").status_code == 504
        assert time.monotonic() - began < 1
        # The thread was taken back: the only worker is free again.
        assert replica.client.post("/").status_code == 200
        assert "finished" not in [line["message"].split()[0] for line in replica.lines() if line["message"]]


def test_drain_finishes_what_is_here_and_takes_what_comes(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SLOW, predictor={"processesPerReplica": 2}) as replica:
        running_one = in_background(replica, 1, mode="sleep", seconds=0.7)[0]
        replica.wait_line("begun")
        replica.process.send_signal(signal.SIGTERM)
        replica.wait_state("DRAINING")
        late = replica.client.post("/")
        assert (late.status_code, late.headers["connection"]) == (200, "close")
        assert replica.client.get("/healthz/ready").status_code == 503
        assert running_one.result().status_code == 200
        assert replica.process.wait(5) == 0
        assert replica.state["state"] == "DRAINING"


@pytest.mark.parametrize("hurry", [lambda replica: replica.process.send_signal(signal.SIGTERM), lambda replica: None])
def test_a_drain_has_an_end(tmp_path: pathlib.Path, hurry: Callable[[Replica], None]) -> None:
    with running(tmp_path, SLOW, config={"drainTimeout": "0.5s"}) as replica:
        stuck = in_background(replica, 1, mode="sleep", seconds=60)[0]
        replica.wait_line("begun")
        workers = replica.worker_pids
        replica.process.send_signal(signal.SIGTERM)
        replica.wait_state("DRAINING")
        hurry(replica)
        assert stuck.result().status_code == 503
        assert replica.process.wait(10) == 0
        assert not any(alive(pid) for pid in workers)


FORKS = """
import os, sys

class PythonPredictor:
    def __init__(self, config):
        if os.fork() == 0:
            return

    {kind} predict(self, query_params):
        if "how" not in query_params:
            return os.getpid()
        pid = os.fork()
        if pid == 0:
            if query_params["how"] == "exit":
                sys.exit(3)
            if query_params["how"] == "raise":
                raise ValueError("in the child")
            return "the child"
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_process_that_a_predictor_forks_answers_nobody(kind: str, tmp_path: pathlib.Path) -> None:
    with running(tmp_path, FORKS.replace("{kind}", kind)) as replica:
        (pid,) = replica.worker_pids
        for how, status in (("return", 0), ("raise", 1), ("exit", 3)):
            answer = replica.client.post("/", params={"how": how})
            assert (answer.status_code, answer.text) == (200, str(status)), how
        assert "in the child" in replica.wait_line("ValueError")["message"]
        assert {replica.client.post("/").text for _ in range(50)} == {str(pid)}
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
        wait_for(lambda: not [each for each in map(int, children.read_text().split()) if alive(each)])
