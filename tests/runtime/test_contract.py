"""The predictor contract of the ancestor, table by table, against a real replica."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runtime.replica import Replica, running

SOURCE = """
import dataclasses, datetime, decimal, uuid

@dataclasses.dataclass
class Point:
    x: int

class FakeArray:
    def tolist(self):
        return [1.5, 2.5]

class HTTPException(Exception):
    def __init__(self, status_code, detail):
        self.status_code, self.detail, self.headers = status_code, detail, {"x-why": "because"}

class Response:
    status_code, body, media_type = 418, b"teapot", "text/tea"
    headers = {"x-tea": "green", "content-length": "999"}

VALUES = {
    "bytes": b"\\x00\\x01", "str": "gr\\u00fcn", "dict": {"a": [1, None]}, "none": None, "response": Response(),
    "array": {"v": FakeArray()}, "dataclass": Point(3), "decimal": decimal.Decimal("1.5"),
    "date": datetime.date(2026, 1, 2), "uuid": uuid.UUID(int=5), "keys": {5: 1, uuid.UUID(int=5): 2},
    "nan": float("nan"), "object": object(), "half": {"a": "\\ud800"}, "half-text": "a\\ud800",
}

class PythonPredictor:
    def __init__(self, config, python_client=None):
        self.config = config

    def predict(self, payload, query_params, headers, batch_id):
        mode = query_params.get("mode", "echo")
        if mode in VALUES:
            return VALUES[mode]
        if mode == "raise":
            raise ValueError("secret detail")
        if mode == "http":
            raise HTTPException(409, {"code": 7})
        if mode == "exit":
            raise SystemExit(3)
        if mode == "callback":
            return "done", lambda: print("called back")
        if mode == "header":
            assert "x-envoy-attempt-count" not in headers
            return headers["X-TeSt"] + "/" + headers.get("x-request-id", "")
        if mode == "query":
            return [query_params["a"], query_params.getlist("a"), batch_id]
        if mode == "config":
            return self.config
        if mode == "form":
            return {k: [v.filename, v.content_type, v.file.read().decode()] if hasattr(v, "file") else v
                    for k, v in payload.items()}
        value = payload.decode() if isinstance(payload, bytes) else payload
        return {"type": type(payload).__name__, "value": value}

    def post_predict(self, response, query_params):
        if query_params.get("mode") == "none":
            print("post", response)
"""


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    predictor = {"config": {"whole": 5, "part": 0.5, "list": [1, {"deep": 2}]}}
    with running(tmp_path_factory.mktemp("contract"), SOURCE, predictor=predictor) as found:
        yield found


def post(replica: Replica, mode: str = "echo", body: bytes = b"", kind: str | None = None, headers: Any = None) -> Any:
    given = {"content-type": kind} if kind else {}
    return replica.client.post("/", params={"mode": mode}, content=body, headers={**given, **(headers or {})})


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/json", b'{"a": 1}', {"type": "dict", "value": {"a": 1}}),
        ("application/json; charset=utf-8", b" [1]\n", {"type": "list", "value": [1]}),
        ("Application/JSON", b"null", {"type": "NoneType", "value": None}),
        ("text/plain; charset=latin-1", b"gr\xfcn", {"type": "str", "value": "grün"}),
        ("text/plain", "grün".encode(), {"type": "str", "value": "grün"}),
        ("application/octet-stream", b"abc", {"type": "bytes", "value": "abc"}),
        (None, b"abc", {"type": "bytes", "value": "abc"}),
        (None, b"", {"type": "bytes", "value": ""}),
    ],
)
def test_the_payload_follows_the_content_type(replica: Replica, kind: str | None, body: bytes, expected: Any) -> None:
    answer = post(replica, body=body, kind=kind)
    assert (answer.status_code, answer.json()) == (200, expected)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"a": '),
        ("application/json", b""),
        ("application/json", b"\xff\xfe\xfd"),
        ("application/json", b"[" * 100_000),
        ("application/json", b"1" * 5000),
        ("text/plain", b"\xff"),
        ("text/plain; charset=nonsense", b"a"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nno end"),
    ],
)
def test_a_malformed_body_is_the_callers_fault(replica: Replica, kind: str, body: bytes) -> None:
    answer = post(replica, body=body, kind=kind)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the request body is not valid " + kind.split(";")[0])
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("mode", "kind", "body"),
    [
        ("bytes", "application/octet-stream", b"\x00\x01"),
        ("str", "text/plain; charset=utf-8", "grün".encode()),
        ("dict", "application/json", b'{"a":[1,null]}'),
        ("none", "application/json", b"null"),
        ("array", "application/json", b'{"v":[1.5,2.5]}'),
        ("dataclass", "application/json", b'{"x":3}'),
        ("decimal", "application/json", b"1.5"),
        ("date", "application/json", b'"2026-01-02"'),
        ("uuid", "application/json", b'"00000000-0000-0000-0000-000000000005"'),
        ("keys", "application/json", b'{"5":1,"00000000-0000-0000-0000-000000000005":2}'),
        ("half", "application/json", b'{"a":"\\ud800"}'),
        ("half-text", "text/plain; charset=utf-8", b"a?"),
        ("config", "application/json", b'{"list":[1,{"deep":2}],"part":0.5,"whole":5}'),
    ],
)
def test_the_reply_follows_the_result(replica: Replica, mode: str, kind: str, body: bytes) -> None:
    answer = post(replica, mode)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == body or json.loads(answer.content) == json.loads(body)


def test_a_response_object_is_sent_as_it_is(replica: Replica) -> None:
    answer = post(replica, "response")
    assert (answer.status_code, answer.content) == (418, b"teapot")
    assert (answer.headers["content-type"], answer.headers["x-tea"]) == ("text/tea", "green")


@pytest.mark.parametrize("mode", ["raise", "nan", "object", "exit"])
def test_a_failure_of_the_predictor_tells_the_caller_nothing(replica: Replica, mode: str) -> None:
    answer = post(replica, mode, headers={"x-request-id": f"failure-{mode}"})
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal server error", "request_id": f"failure-{mode}"}


def test_the_traceback_is_in_the_log_and_begins_with_the_users_frame(replica: Replica) -> None:
    post(replica, "raise", headers={"x-request-id": "traced"})
    line = replica.wait_line("secret detail")
    assert line["level"] == "error"
    assert "predictor.py" in line["message"].splitlines()[1]
    assert "runtime/shim" not in line["message"]


def test_an_http_exception_chooses_its_status(replica: Replica) -> None:
    answer = post(replica, "http")
    assert (answer.status_code, answer.json()["detail"], answer.headers["x-why"]) == (409, {"code": 7}, "because")


def test_query_and_headers(replica: Replica) -> None:
    answer = replica.client.post("/?mode=query&a=1&a=b%20c")
    assert answer.json() == ["b c", ["1", "b c"], None]
    answer = post(replica, "header", headers={"X-Test": "value", "X-Request-Id": "mine", "X-Envoy-Attempt-Count": "2"})
    assert (answer.text, answer.headers["x-request-id"]) == ("value/mine", "mine")


def test_forms(replica: Replica) -> None:
    files = {"image": ("cat.png", b"pixels", "image/png")}
    answer = replica.client.post("/", params={"mode": "form"}, data={"name": "tom"}, files=files)
    assert answer.json() == {"name": "tom", "image": ["cat.png", "image/png", "pixels"]}
    answer = replica.client.post("/", params={"mode": "form"}, data={"a": "1 2", "b": "ü"})
    assert answer.json() == {"a": "1 2", "b": "ü"}


def test_what_runs_after_the_reply(replica: Replica) -> None:
    assert post(replica, "callback").text == "done"
    replica.wait_line("called back")
    post(replica, "none")
    replica.wait_line("post None")


def test_verbs_paths_and_info(replica: Replica) -> None:
    client = replica.client
    refused = client.get("/")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST, OPTIONS")
    assert client.options("/").headers["allow"] == "POST, OPTIONS"
    assert client.post("/elsewhere").status_code == 404
    info = client.get("/info").json()
    assert (info["predictor"]["class"], info["methods"], info["revision"]) == ("PythonPredictor", ["POST"], "r1")
    for path in ("/healthz/live", "/healthz/ready"):
        assert client.get(path).status_code == 200
        assert client.get(path, headers={"x-envoy-attempt-count": "1"}).status_code == 404
    head = client.head("/healthz/ready")
    assert (head.status_code, head.content) == (200, b"")
