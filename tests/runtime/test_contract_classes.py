"""The contract as classes use it: constructors, signatures, verbs, values, and callers who left before the start."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runtime.replica import Replica, running, wait_for

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

EVERYTHING = """
class Handler:
    def __init__(self, config, python_client=None, model_client=None, metrics_client=None, job_spec=None,
                 proto_module_pb2=None, mine=5, **others):
        self.told = [config, job_spec, proto_module_pb2, mine, others, metrics_client is not None]
        metrics_client.gauge(metric="a", value=1.5, tags={"b": "c"})
        metrics_client.increment("a"), metrics_client.histogram("a", 2, {})

    def handle_get(self):
        return self.told

    @staticmethod
    def handle_put(payload):
        return {"put": payload}

    @classmethod
    def handle_patch(cls, payload, *, query_params, **others):
        return [cls.__name__, payload, dict(query_params), others]

    def handle_delete(self, headers=None, unknown="mine"):
        return [headers["x-told"], unknown]

    def handle_post(self, payload=None, query_params=None, headers=None, batch_id="untouched"):
        return batch_id
"""


def test_constructors_and_verbs(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, EVERYTHING, predictor={"config": {"a": 1}}) as replica:
        client = replica.client
        assert client.get("/").json() == [{"a": 1}, None, None, 5, {}, True]
        assert client.put("/", json=[1]).json() == {"put": [1]}
        assert client.patch("/?q=1", json={}).json() == ["Handler", {}, {"q": "1"}, {}]
        assert client.request("DELETE", "/", headers={"X-Told": "yes"}).json() == ["yes", "mine"]
        assert client.post("/").content == b"null"
        # A body is parsed only for who asks for it.
        malformed: dict[str, Any] = {"content": b"{", "headers": {"content-type": "application/json", "x-told": "no"}}
        assert client.request("DELETE", "/", **malformed).status_code == 200
        assert client.put("/", **malformed).status_code == 400


ASYNC = """
import asyncio, functools

def decorated(function):
    @functools.wraps(function)
    def around(*arguments, **named):
        return function(*arguments, **named)
    return around

def waited_for(function):
    @functools.wraps(function)
    def around(*arguments, **named):
        return asyncio.run(function(*arguments, **named))
    return around

async def answer(value):
    await asyncio.sleep(0)
    return value

class Called:
    async def __call__(self, payload):
        return await answer({"called": payload})

class PythonPredictor:
    @decorated
    async def predict(self, payload):
        return await answer({"decorated": payload})

    handle_put = Called()

    def handle_get(self):
        return answer("made by a helper")

    @waited_for
    async def handle_delete(self):
        return await answer("waited for")

    @decorated
    async def handle_patch(self):
        for item in "ab":
            yield await answer(item)
"""

PLAIN = (
    ASYNC.partition("class Called")[0]
    + """
class PythonPredictor:
    async def pre(self, payload):
        return await answer([payload])

    def predict(self, payload):
        return payload

    def handle_get(self):
        return answer({"made": "by a helper"})

    async def post(self, response):
        return await answer({"post": response})
"""
)


def test_async_code_behind_plain_functions(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, ASYNC) as replica:
        client = replica.client
        assert client.post("/", json=1).json() == {"decorated": 1}
        assert client.put("/", json=2).json() == {"called": 2}
        assert client.get("/").text == "made by a helper"
        assert client.delete("/").text == "waited for"
        assert client.patch("/").text == "ab"


def test_async_hooks_and_helpers_of_a_plain_predictor(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, PLAIN) as replica:
        assert replica.client.post("/", json=1).json() == {"post": [1]}
        assert replica.client.get("/").json() == {"post": {"made": "by a helper"}}


CLASS = "class PythonPredictor:\n"
PREDICT = "    def predict(self, payload):\n        return 'answered'\n"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (f"class PythonPredictor:\n{PREDICT}", ""),
        (f"class Handler:\n{PREDICT}", ""),
        (f"class Mine:\n{PREDICT}", ""),
        (f"class Base:\n{PREDICT}\nclass PythonPredictor(Base):\n    pass\n", ""),
        ("class PythonPredictor:\n    predict = lambda self, payload: 'answered'\n", ""),
        (f"{CLASS}    def __new__(cls, config):\n        return super().__new__(cls)\n{PREDICT}", ""),
        (f"class One:\n{PREDICT}\nclass Two:\n{PREDICT}", "it has several: One, Two"),
        ("class PythonPredictor:\n    pass\n", "class PythonPredictor has neither predict() nor handle_post()"),
        ("class PythonPredictor:\n    def predict(self, body):\n        pass\n", "predict() asks for 'body'"),
        (f"{CLASS}    def predict(self, payload, /):\n        pass\n", "given by name, so take the `/` out"),
        (f"{CLASS}    def __init__(self, model):\n        pass\n{PREDICT}", "__init__() asks for 'model'"),
        (f"class PythonPredictor:\n    def __init__(self, config):\n        raise ValueError('why')\n{PREDICT}", "why"),
        (f"{CLASS}    def post_predict(self, result):\n        pass\n{PREDICT}", "post_predict() asks for"),
        ("x = 1\n", "it has none"),
        ("import nothing_like_it\n", "nothing_like_it is neither in the project nor installed; list"),
        ("def predict(:\n", "SyntaxError"),
    ],
)  # fmt: skip
def test_which_class_serves_and_what_is_wrong_with_it(tmp_path: pathlib.Path, source: str, told: str) -> None:
    with running(tmp_path, source, ready=not told) as replica:
        if not told:
            assert replica.client.post("/").text == "answered"
            return
        assert replica.process.wait(15) == 1
        assert told in replica.state["failure"]["message"]


VALUES = """
import collections, dataclasses, datetime, decimal, enum, pathlib, typing, uuid
import numpy

class Colour(enum.Enum):
    RED = "red"

class Level(enum.IntEnum):
    HIGH = 3

class Pair(typing.NamedTuple):
    left: int
    right: str

@dataclasses.dataclass
class Box:
    label: str
    scores: numpy.ndarray
    inner: object = None

class Eager:  # as a TensorFlow tensor is
    def numpy(self):
        return numpy.array([1, 2])

class Model:  # as a pydantic model is
    def model_dump(self):
        return {"when": datetime.date(2026, 1, 2)}

class PythonPredictor:
    def predict(self, payload):
        return eval(payload)
"""


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with running(tmp_path_factory.mktemp("values"), VALUES) as found:
        yield found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("numpy.arange(6).reshape(2, 3)", [[0, 1, 2], [3, 4, 5]]),
        ("numpy.float32(0.5)", 0.5),
        ("numpy.bool_(True)", True),
        ("numpy.array(7)", 7),
        ("numpy.array(['a', 'b'])", ["a", "b"]),
        ("numpy.array(['2026-01-02'], 'datetime64[D]')", ["2026-01-02"]),
        ("{'a': numpy.int64(1), 'b': [numpy.zeros(2)]}", {"a": 1, "b": [[0.0, 0.0]]}),
        ("{numpy.int64(1): numpy.float64(2)}", {"1": 2.0}),
        ("Box('x', numpy.ones(2), Box('y', numpy.zeros(1)))",
         {"label": "x", "scores": [1, 1], "inner": {"label": "y", "scores": [0], "inner": None}}),
        ("[Colour.RED, Level.HIGH, Pair(1, 'b')]", ["red", 3, [1, "b"]]),
        ("{'d': decimal.Decimal('2'), 't': datetime.timedelta(seconds=1.5), 'p': pathlib.Path('/a')}",
         {"d": 2, "t": 1.5, "p": "/a"}),
        ("[{1}, collections.deque([2]), range(2), map(str, [3])]", [[1], [2], [0, 1], ["3"]]),
        ("Eager()", [1, 2]),
        ("Model()", {"when": "2026-01-02"}),
        ("datetime.datetime(2026, 1, 2, 3, 4, 5)", "2026-01-02T03:04:05"),
        ("['\\u2028', 'gr\\xfcn', '\\U0001f600']", ["\u2028", "grün", "\U0001f600"]),
        ("(1, 2)", [1, 2]),
        ("True", True),
    ],
)  # fmt: skip
def test_what_has_a_json_form(values: Replica, expression: str, expected: Any) -> None:
    answer = values.client.post("/", content=expression.encode(), headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == expected


@pytest.mark.parametrize(
    "expression", ["object()", "float('nan')", "numpy.array([numpy.inf])", "{'a': b'bytes'}", "1j"]
)
def test_what_has_none_is_an_error_that_the_log_explains(values: Replica, expression: str) -> None:
    head = {"content-type": "text/plain", "x-request-id": f"no-form-{expression}", "traceparent": PARENT}
    answer = values.client.post("/", content=expression.encode(), headers=head)
    assert (answer.status_code, answer.json()["error"]) == (500, "internal server error")

    def told() -> list[Any]:
        return [line for line in values.lines() if line.get("request_id") == head["x-request-id"]]

    [line] = wait_for(told)
    assert (line["trace_id"], line["level"]) == (PARENT.split("-")[1], "error")


def test_who_left_while_waiting_is_not_predicted(tmp_path: pathlib.Path) -> None:
    source = """
    import os, time
    class PythonPredictor:
        def predict(self, payload, query_params):
            print("predicts", query_params["name"])
            while query_params["name"] == "first" and not os.path.exists(payload):
                time.sleep(0.002)
            return "done"
    """
    gate = tmp_path / "gate"
    request = b"POST /?name=%b HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b"
    body = str(gate).encode()
    with running(tmp_path, source) as replica, contextlib.ExitStack() as stack:
        first = stack.enter_context(replica.connect())
        first.sendall(request % (b"first", len(body), body))
        replica.wait_line("predicts first")
        with replica.connect() as leaver:
            leaver.sendall(request % (b"leaver", 0, b""))
            wait_for(lambda: _here(replica) == 2)
        wait_for(lambda: _here(replica) == 1)
        last = stack.enter_context(replica.connect())
        last.sendall(request % (b"last", 0, b""))
        gate.touch()
        assert first.recv(15) == last.recv(15) == b"HTTP/1.1 200 OK"
        replica.wait_line("predicts last")
        assert not any("leaver" in line["message"] for line in replica.lines())


def _here(replica: Replica) -> int:
    info: dict[str, int] = replica.client.get("/info").json()
    return info["in_flight"]
