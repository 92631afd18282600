"""Server-side batching with real workers: what shares a batch, and what one call can do to its neighbours."""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format, struct_pb2

from cortex.runtime.v1 import prediction_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2_grpc as pb_grpc
from tests.runtime.replica import Replica, running, wait_for

SYNC = """
import os, pathlib, time

class Refused(Exception):
    status_code, detail = 422, "not this one"

class Download:
    status_code, raw_headers = 200, []

    def __init__(self):
        self.body_iterator = iter([b"part"])

def nap():
    time.sleep(0.002)

class PythonPredictor:
    def __init__(self, config):
        self.runs = 0

    def predict(self, payload, query_params):
        self.runs += 1
        print("run", self.runs, "of", len(payload))
        if str(payload[0]).startswith("hold"):
            print(payload[0], "begun")
            while not pathlib.Path("go").exists():
                nap()
        if "raise" in payload:
            raise ValueError("a bad item")
        if "no list" in payload:
            return {"a": 1}
        if "short" in payload:
            return payload[1:]
        if "callback" in payload:
            return payload, lambda: None
        if "kill" in payload:
            os.kill(os.getpid(), 9)
        return [self.one(item, query, len(payload)) for item, query in zip(payload, query_params)]

    def one(self, item, query, size):
        if item == "refuse":
            return Refused()
        if item == "set":
            return {object()}
        if item == "stream":
            return (n for n in range(3))
        if item == "download":
            return Download()
        if item == "stands for":
            return ValueError("stands for a result")
        return {"item": item, "n": query.get("n"), "size": size}
"""
ASYNC = (
    SYNC.replace("def nap", "async def nap")
    .replace("time.sleep(", "await __import__('asyncio').sleep(")
    .replace("                nap()", "                await nap()")
    .replace("    def predict", "    async def predict")
)
BATCHING = {"serverSideBatching": {"maxBatchSize": 8, "batchInterval": "0.2s"}}


@contextlib.contextmanager
def batching(folder: pathlib.Path, source: str = SYNC, **predictor: Any) -> Iterator[Replica]:
    with running(folder, source, predictor={**BATCHING, **predictor}) as replica:
        yield replica


@pytest.fixture(scope="module", params=["sync", "async"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with batching(tmp_path_factory.mktemp("batch"), SYNC if request.param == "sync" else ASYNC) as replica:
        yield replica


@pytest.fixture
def replica(shared: Replica) -> Iterator[Replica]:
    go = shared.folder / "project" / "go"
    go.unlink(missing_ok=True)
    yield shared
    go.touch()


def held(replica: Replica, pool: concurrent.futures.Executor) -> "concurrent.futures.Future[Any]":
    """A batch of one that keeps the only permit, so that what comes next waits together."""
    token = f"hold {uuid.uuid4()}"
    first = pool.submit(replica.client.post, "/", json=token)
    replica.wait_line(f"{token} begun")
    return first


def come(replica: Replica) -> int:
    """Calls that are in batches, or wait for one."""
    told = replica.client.get("/info").json()["batching"]
    count: int = told["calls"] + told["waiting"]
    return count


def together(replica: Replica, items: list[Any]) -> list[Any]:
    """The answers to calls that share a batch."""
    with concurrent.futures.ThreadPoolExecutor(len(items) + 1) as pool:
        first = held(replica, pool)
        before = come(replica)
        asked = [pool.submit(replica.client.post, "/", json=item, params={"n": n}) for n, item in enumerate(items)]
        wait_for(lambda: come(replica) == before + len(items))
        (replica.folder / "project" / "go").touch()
        assert first.result().json()["size"] == 1
        return [answer.result() for answer in asked]


def test_calls_that_wait_share_a_batch_and_each_gets_its_own_answer(replica: Replica) -> None:
    answers = together(replica, ["a", {"b": 1}, [3]])
    got = [answer.json() for answer in answers]
    assert got == [{"item": item, "n": str(n), "size": 3} for n, item in enumerate(["a", {"b": 1}, [3]])]
    told = replica.client.get("/info").json()["batching"]
    assert told["max_batch_size"] == 8 and told["sizes"]["<=4"] >= 1


def test_a_full_batch_leaves_the_rest_for_the_next(replica: Replica) -> None:
    answers = together(replica, list(range(11)))
    assert sorted(answer.json()["size"] for answer in answers) == [3] * 3 + [8] * 8


def test_one_call_alone_is_a_batch_of_one(replica: Replica) -> None:
    assert replica.client.post("/", json="alone").json() == {"item": "alone", "n": None, "size": 1}


@pytest.mark.parametrize(
    ("bad", "status", "told"),
    [
        ("raise", 500, "internal server error"),
        ("refuse", 422, "not this one"),
        ("set", 500, "internal server error"),
        ("stream", 500, "internal server error"),
        ("download", 500, "internal server error"),
        ("stands for", 500, "internal server error"),
    ],
)
def test_a_bad_item_fails_alone(replica: Replica, bad: str, status: int, told: str) -> None:
    answers = together(replica, ["a", "b", bad, "c", "d"])
    assert [answer.status_code for answer in answers] == [200, 200, status, 200, 200]
    assert answers[2].json()["error"] == told
    assert [answers[n].json()["item"] for n in (0, 1, 3, 4)] == ["a", "b", "c", "d"]


def test_several_bad_items_fail_alone_and_the_runs_are_bounded(replica: Replica) -> None:
    before = sum(line["message"].startswith("run") for line in replica.lines())
    answers = together(replica, ["raise", "a", "raise", "b", "c", "d", "e", "raise"])
    assert [answer.status_code for answer in answers] == [500, 200, 500, 200, 200, 200, 200, 500]
    runs = sum(line["message"].startswith("run") for line in replica.lines()) - before
    assert runs <= 1 + 15  # that which kept the permit, and 2n - 1


def test_a_malformed_payload_is_refused_before_it_joins(replica: Replica) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        first = held(replica, pool)
        json = {"content-type": "application/json"}
        asked = [pool.submit(replica.client.post, "/", content=body, headers=json) for body in (b'"a"', b"{", b'"b"')]
        wait_for(lambda: replica.client.get("/info").json()["batching"]["waiting"] == 3)
        (replica.folder / "project" / "go").touch()
        assert first.result().status_code == 200
        good, bad, other = (answer.result() for answer in asked)
    assert (bad.status_code, good.json()["size"], other.json()["size"]) == (400, 2, 2)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("no list", "must return a list"),
        ("short", "got 2 calls and returned 1 results"),
        ("callback", "(result, callback) goes in each call's place"),
    ],
)
def test_what_is_no_result_per_call_fails_all_and_says_why_to_each(replica: Replica, item: str, reason: str) -> None:
    answers = together(replica, ["a", item])
    assert [answer.status_code for answer in answers] == [500] * 2
    for answer in answers:
        assert told_of(replica, answer, reason)["level"] == "error"


@pytest.mark.parametrize("item", ["stream", "download"])
def test_a_stream_is_refused_in_a_batch_of_one_as_in_any_other(replica: Replica, item: str) -> None:
    answer = replica.client.post("/", json=item)
    assert answer.status_code == 500
    assert told_of(replica, answer, "cannot return streams")


def test_an_exception_in_a_results_place_is_told_under_its_own_request(replica: Replica) -> None:
    answers = together(replica, ["a", "stands for", "b"])
    assert told_of(replica, answers[1], "stands for a result")


def told_of(replica: Replica, answer: httpx.Response, message: str) -> dict[str, Any]:
    """The line of the log that has the message and the answer's request id."""
    at = answer.json()["request_id"]
    lines = replica.lines
    found: dict[str, Any] = wait_for(lambda: [x for x in lines() if message in x["message"] and x["request_id"] == at])[
        0
    ]
    return found


def test_other_media_types_have_batches_of_their_own(replica: Replica) -> None:
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        first = held(replica, pool)
        asked = [pool.submit(replica.client.post, "/", json=n) for n in range(2)]
        asked += [pool.submit(replica.client.post, "/", content="x", headers={"content-type": "text/plain"})]
        wait_for(lambda: replica.client.get("/info").json()["batching"]["waiting"] == 3)
        (replica.folder / "project" / "go").touch()
        assert first.result().status_code == 200
        assert [answer.result().json()["size"] for answer in asked] == [2, 2, 1]


def test_who_leaves_is_not_in_the_batch(replica: Replica) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        first = held(replica, pool)
        with replica.connect() as sock:
            sock.sendall(
                b'POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n"x"'
            )
            wait_for(lambda: replica.client.get("/info").json()["batching"]["waiting"] == 1)
        wait_for(lambda: replica.client.get("/info").json()["batching"]["waiting"] == 0)
        stays = pool.submit(replica.client.post, "/", json="stays")
        wait_for(lambda: replica.client.get("/info").json()["batching"]["waiting"] == 1)
        late = pool.submit(replica.client.post, "/", json="late", headers={"x-request-timeout-ms": "50"})
        assert late.result().status_code == 504  # on time, and not with the batch
        (replica.folder / "project" / "go").touch()
        assert (first.result().status_code, stays.result().json()["size"]) == (200, 1)


def test_a_worker_that_dies_takes_along_its_batch_only(tmp_path: pathlib.Path) -> None:
    with batching(tmp_path, processesPerReplica=2) as replica, concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = held(replica, pool)
        dies = pool.submit(replica.client.post, "/", json="kill")
        answer = dies.result()
        assert (answer.status_code, answer.headers["x-cortex-retry"]) == (503, "worker-died")
        after = [pool.submit(replica.client.post, "/", json=n) for n in range(5)]
        assert [one.result().status_code for one in after] == [200] * 5
        (tmp_path / "project" / "go").touch()
        assert first.result().status_code == 200


def test_what_a_dead_worker_had_not_begun_goes_to_its_successor(tmp_path: pathlib.Path) -> None:
    with batching(tmp_path) as replica, concurrent.futures.ThreadPoolExecutor(20) as pool:
        first = held(replica, pool)
        # A full batch is sent ahead; the rest waits in the front.
        asked = [pool.submit(replica.client.post, "/", json=n) for n in range(11)]
        wait_for(lambda: replica.client.get("/info").json()["batching"]["waiting"] == 3)
        os.kill(replica.worker_pids[0], signal.SIGKILL)
        assert first.result().status_code == 503
        assert [answer.result().status_code for answer in asked] == [200] * 11


def test_two_workers_share_one_queue(tmp_path: pathlib.Path) -> None:
    source = SYNC.replace("self.runs += 1", "self.runs += 1; nap()").replace('"n":', '"pid": os.getpid(), "n":')
    two = {"processesPerReplica": 2, "threadsPerProcess": 2}
    with batching(tmp_path, source, **two) as replica, concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = [answer.json() for answer in pool.map(lambda n: replica.client.post("/", json=n), range(300))]
    assert [answer["item"] for answer in answers] == list(range(300))
    assert len({answer["pid"] for answer in answers}) == 2
    assert max(answer["size"] for answer in answers) <= 8


def test_hooks_run_for_each_call_of_a_batch(tmp_path: pathlib.Path) -> None:
    hooks = """
    def pre(self, payload):
        if payload == "unfit":
            raise Refused()
        return payload

    def post(self, response, payload):
        return {**response, "posted": payload}
"""
    with batching(tmp_path, SYNC + hooks) as replica, concurrent.futures.ThreadPoolExecutor(20) as pool:
        items = ["unfit" if n % 5 == 0 else n for n in range(100)]
        answers = list(pool.map(lambda item: replica.client.post("/", json=item), items))
    for item, answer in zip(items, answers, strict=True):
        if item == "unfit":
            assert answer.status_code == 422
        else:
            assert (answer.json()["item"], answer.json()["posted"]) == (item, item)


@pytest.mark.parametrize("source", [SYNC, ASYNC], ids=["sync", "async"])
def test_a_worker_that_is_due_leaves_when_its_last_batch_is_answered(tmp_path: pathlib.Path, source: str) -> None:
    """Also when the batch had given its permit back before."""
    hook = """
    def post(self, response):
        if response["size"] > 1:
            print("posting")
            while not pathlib.Path("on").exists():
                time.sleep(0.002)
        return response
"""
    policy = {"serverSideBatching": {"maxBatchSize": 2, "batchInterval": "0.2s"}, "worker": {"maxRequests": 3}}
    patient = {"drainTimeout": "60s"}
    with (
        running(tmp_path, source + hook, predictor=policy, config=patient) as replica,
        concurrent.futures.ThreadPoolExecutor(3) as pool,
    ):
        (due,) = replica.worker_pids
        first = held(replica, pool)
        asked = [pool.submit(replica.client.post, "/", json=n) for n in range(2)]
        wait_for(lambda: [one["pid"] for one in replica.state["workers"] if one["state"] == "DRAINING"] == [due])
        (tmp_path / "project" / "go").touch()
        assert first.result().status_code == 200
        replica.wait_line("posting")
        (tmp_path / "project" / "on").touch()
        assert [answer.result().json()["size"] for answer in asked] == [2, 2]
        wait_for(lambda: due not in [one["pid"] for one in replica.state["workers"]])


def test_a_predictor_that_cannot_be_batched_says_so(tmp_path: pathlib.Path) -> None:
    source = "class PythonPredictor:\n    def predict(self, payload):\n        yield 1\n"
    with running(tmp_path, source, predictor=BATCHING, ready=False) as replica:
        assert replica.process.wait(15) == 1
        assert "with server_side_batching it returns a list" in replica.state["failure"]["message"]


TENSORS = """
import pathlib, time

class PythonPredictor:
    def predict(self, payload):
        print("run of", len(payload))
        while len(payload) == 1 and not pathlib.Path("go").exists():
            time.sleep(0.002)
        return [{"size": [len(payload)], "sum": [float(sum(item["x"]))]} for item in payload]
"""


def infer(replica: Replica, *values: float) -> Any:
    tensor = {"name": "x", "datatype": "FP32", "shape": [len(values)], "data": list(values)}
    answer = replica.client.post("/v2/models/demo/infer", json={"inputs": [tensor]})
    return {output["name"]: output["data"][0] for output in answer.json()["outputs"]}


def test_tensors_share_a_batch_when_they_are_of_one_kind(tmp_path: pathlib.Path) -> None:
    with batching(tmp_path, TENSORS) as replica, concurrent.futures.ThreadPoolExecutor(6) as pool:
        first = pool.submit(infer, replica, 1, 1)
        replica.wait_line("run of 1")
        asked = [pool.submit(infer, replica, *values) for values in ((1, 2), (3, 4), (5, 6), (7, 8, 9))]
        wait_for(lambda: replica.client.get("/info").json()["batching"]["waiting"] == 4)
        (tmp_path / "project" / "go").touch()
        assert first.result() == {"size": 1, "sum": 2.0}
        got = [answer.result() for answer in asked]
    assert got == [{"size": size, "sum": total} for size, total in ((3, 3.0), (3, 7.0), (3, 11.0), (1, 24.0))]


def test_calls_over_grpc_share_batches_with_those_over_http(tmp_path: pathlib.Path) -> None:
    config = {"grpcAddress": "free"}
    with (
        running(tmp_path, SYNC, predictor=BATCHING, config=config) as replica,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
        grpc.insecure_channel(replica.grpc_address) as channel,
    ):
        stub = pb_grpc.PredictionServiceStub(channel)
        first = held(replica, pool)
        value = struct_pb2.Value(string_value="over grpc")
        over_grpc = pool.submit(stub.Predict, pb.PredictRequest(json=value, query_params={"n": "7"}))
        over_http = pool.submit(replica.client.post, "/", json="over http")
        wait_for(lambda: replica.client.get("/info").json()["batching"]["waiting"] == 2)
        (tmp_path / "project" / "go").touch()
        assert first.result().status_code == 200
        assert over_http.result().json() == {"item": "over http", "n": None, "size": 2}
        told = json_format.MessageToDict(over_grpc.result().json)
        assert told == {"item": "over grpc", "n": "7", "size": 2}
