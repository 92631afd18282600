"""Time that runs out and callers who leave: what is answered when, what is never run, and what code may know of it."""

import concurrent.futures
import json
import pathlib
from typing import Any

import pytest

from tests.runtime.replica import Replica, running, wait_for

SOURCE = """
import pathlib, time

class PythonPredictor:
    def predict(self, payload, deadline):
        if payload == "left":
            return {"left": None if deadline is None else deadline - time.monotonic()}
        print("begun", payload)
        if payload == "native":
            time.sleep(30)  # one call, which nothing can interrupt
        while payload.startswith("hold") and not pathlib.Path("go").exists():
            time.sleep(0.002)
        return payload
"""
ASYNC = SOURCE.replace("    def predict", "    async def predict").replace(
    "            time.sleep(0.002)", "            await __import__('asyncio').sleep(0.002)"
)
BOTH = pytest.mark.parametrize("source", [SOURCE, ASYNC], ids=["sync", "async"])


def ask(replica: Replica, payload: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return replica.client.post("/", json=payload, headers=named)


def begun(replica: Replica) -> list[str]:
    return [line["message"] for line in replica.lines() if line["message"].startswith("begun")]


@BOTH
def test_code_can_read_how_much_time_is_left(tmp_path: pathlib.Path, source: str) -> None:
    timeout = {"networking": {"requestTimeout": "40s"}}
    with running(tmp_path, source, spec=timeout) as replica:
        assert 30 < ask(replica, "left").json()["left"] <= 40
        assert 5 < ask(replica, "left", x_request_timeout_ms="9000").json()["left"] <= 9
    with running(tmp_path / "none", source, spec={"networking": {"requestTimeout": "0s"}}) as replica:
        assert ask(replica, "left").json() == {"left": None}


@BOTH
def test_who_waits_in_the_queue_is_answered_in_time_and_never_run(tmp_path: pathlib.Path, source: str) -> None:
    with running(tmp_path, source) as replica, concurrent.futures.ThreadPoolExecutor(12) as pool:
        first = pool.submit(ask, replica, "hold")
        replica.wait_line("begun hold")
        asked = [pool.submit(ask, replica, f"queued {n}", x_request_timeout_ms=str(40 + 10 * n)) for n in range(10)]
        # All of them end while the first one still runs, so none of them was kept by it.
        assert [answer.result().status_code for answer in asked] == [504] * 10
        assert not first.done()
        (tmp_path / "project" / "go").touch()
        assert first.result().status_code == 200
        assert ask(replica, "last").text == "last"
        wait_for(lambda: "begun last" in begun(replica))
        assert begun(replica) == ["begun hold", "begun last"]


@BOTH
def test_of_those_who_wait_the_most_urgent_is_next(tmp_path: pathlib.Path, source: str) -> None:
    with running(tmp_path, source) as replica, concurrent.futures.ThreadPoolExecutor(12) as pool:
        first = pool.submit(ask, replica, "hold")
        replica.wait_line("begun hold")
        asked = {
            "usual": {},
            "last": {"x_request_priority": "9"},
            "soon": {"x_request_timeout_ms": "15000"},
            "first": {"x_request_priority": "1"},
        }
        answers = []
        for payload, headers in asked.items():
            answers.append(pool.submit(ask, replica, payload, **headers))
            # Each is in the queue before the next one comes.
            wait_for(lambda: waiting(replica) == len(answers))
        (tmp_path / "project" / "go").touch()
        assert [answer.result().status_code for answer in [first, *answers]] == [200] * 5
        wait_for(lambda: len(begun(replica)) == 5)
        assert begun(replica)[1:] == ["begun first", "begun soon", "begun usual", "begun last"]
        refused = ask(replica, "x", x_request_priority="0")
        assert (refused.status_code, "1 (first) to 9 (last)" in refused.json()["error"]) == (400, True)


def waiting(replica: Replica) -> int:
    count: int = replica.client.get("/info").json()["queued"]
    return count


def test_code_that_goes_on_after_the_grace_ends_the_worker(tmp_path: pathlib.Path) -> None:
    policy = {"worker": {"onCancel": "CANCEL_POLICY_KILL", "cancelGrace": "0.2s"}, "threadsPerProcess": 2}
    with running(tmp_path, SOURCE, predictor=policy) as replica, concurrent.futures.ThreadPoolExecutor(2) as pool:
        pid = replica.worker_pids[0]
        neighbour = pool.submit(ask, replica, "hold")
        replica.wait_line("begun hold")
        assert ask(replica, "native", x_request_timeout_ms="100").status_code == 504
        answer = neighbour.result()
        assert (answer.status_code, answer.headers["x-cortex-retry"]) == (503, "worker-died")
        assert "went on with a cancelled request for 0.2 s" in replica.wait_line("went on with")["message"]
        wait_for(lambda: replica.worker_pids not in ([], [pid]))
        assert ask(replica, "again").text == "again"


def test_code_that_can_be_interrupted_costs_no_worker(tmp_path: pathlib.Path) -> None:
    policy = {"worker": {"onCancel": "CANCEL_POLICY_KILL", "cancelGrace": "2s"}}
    with running(tmp_path, SOURCE, predictor=policy) as replica:
        pids = replica.worker_pids
        for _ in range(3):
            assert ask(replica, "hold", x_request_timeout_ms="50").status_code == 504
            assert ask(replica, "next").text == "next"
        assert replica.worker_pids == pids


def test_five_times_what_it_can_do(tmp_path: pathlib.Path) -> None:
    """What it can do it does, and the others are told at once to come back later."""
    source = "import time\nclass PythonPredictor:\n    def predict(self):\n        time.sleep(0.01)\n        return 1\n"
    bound = {"autoscaling": {"maxReplicaConcurrency": 10}}
    with running(tmp_path, source, spec=bound) as replica, concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: replica.client.post("/", json=1), range(600)))
    good = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(good) + len(refused) == 600 and len(good) >= 10
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert {json.loads(answer.text)["error"] for answer in refused} == {"the replica's queue is full; try again later"}
