"""What users of Starlette, FastAPI and werkzeug return and raise, with the real libraries beside the predictor."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.runtime.replica import Replica, running

SOURCE = """
import asyncio, json, pathlib
from starlette import exceptions, responses
from starlette.background import BackgroundTask, BackgroundTasks
import werkzeug.exceptions

pathlib.Path("data.txt").write_text("0123456789")

async def later(text):
    await asyncio.sleep(0)
    print("later", text)

def now(text):
    print("now", text)

def parts():
    yield b"one "
    yield "two"

async def aparts():
    yield b"one "
    await asyncio.sleep(0)
    yield b"two"

class Teapot(responses.PlainTextResponse):
    async def __call__(self, scope, receive, send):
        self.headers["x-path"] = scope["path"]
        await super().__call__(scope, receive, send)

class Broken(responses.Response):
    async def __call__(self, scope, receive, send):
        raise RuntimeError("a broken response")

class Half(responses.Response):
    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 203, "headers": [(b"content-type", b"text/half")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("a half response")

class Handler:
    def handle_get(self, query_params):
        return getattr(self, query_params["mode"])()

    def handle_post(self, payload, query_params):
        told = getattr(self, query_params["mode"])(payload)
        return told

    def plain(self):
        answer = responses.JSONResponse({"a": 1}, 201, {"x-own": "1"}, background=BackgroundTask(later, "plain"))
        answer.set_cookie("a", "1")
        answer.set_cookie("b", "2")
        return answer

    def empty(self):
        return responses.Response(status_code=204)

    def redirect(self):
        return responses.RedirectResponse("/elsewhere", 307)

    def stream(self):
        return responses.StreamingResponse(parts(), 202, media_type="text/x", background=BackgroundTask(now, "s"))

    def astream(self):
        return responses.StreamingResponse(aparts(), media_type="text/x")

    def file(self):
        tasks = BackgroundTasks()
        tasks.add_task(now, "file")
        tasks.add_task(later, "file")
        return responses.FileResponse("data.txt", filename="d.txt", background=tasks)

    def nofile(self):
        return responses.FileResponse("missing.txt")

    def own(self):
        return Teapot("short and stout", 418)

    def broken(self):
        return Broken()

    def half(self):
        return Half()

    def callback(self):
        async def after():
            print("awaited callback")
        return {"a": 1}, after

    def http(self):
        raise exceptions.HTTPException(403, "no entry", {"x-why": "because"})

    def bare(self):
        raise exceptions.HTTPException(404)

    def werkzeug(self):
        raise werkzeug.exceptions.MethodNotAllowed(["PUT"], "not this way")

    def aborted(self):
        werkzeug.exceptions.abort(werkzeug.wrappers.Response("taken", 409, {"x-why": "twice"}))

    def downstream(self):
        error = ValueError("a client's, with an answer that somebody else gave")
        error.response = werkzeug.wrappers.Response("secret", 403)
        raise error

    def coded(self):
        error = ValueError("an error with a code that is no status")
        error.code = 404
        raise error

    def upload(self, payload):
        file = payload["file"]
        first = file.read(2)
        file.seek(0)
        return [file.filename, file.size, file.content_type, bytes(first).decode(), file.file.read().decode()]

    def fields(self, payload):
        return {key: payload.getlist(key) for key in payload}
"""

ASYNC = (
    SOURCE.replace("    def handle_", "    async def handle_")
    .replace("def upload(self", "async def upload(self")
    .replace("file.read(2)", "await file.read(2)")
    .replace("file.seek(0)", "await file.seek(0)")
    .replace("return told", "return await told if asyncio.iscoroutine(told) else told")
)


@pytest.fixture(scope="module", params=["sync", "async"])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    source = SOURCE if request.param == "sync" else ASYNC
    with running(tmp_path_factory.mktemp("frameworks"), source) as found:
        yield found


def get(replica: Replica, mode: str, **headers: str) -> Any:
    return replica.client.get("/", params={"mode": mode}, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_response_with_headers_cookies_and_a_task(replica: Replica) -> None:
    answer = get(replica, "plain")
    assert (answer.status_code, answer.json(), answer.headers["x-own"]) == (201, {"a": 1}, "1")
    assert [cookie.split(";")[0] for cookie in answer.headers.get_list("set-cookie")] == ["a=1", "b=2"]
    replica.wait_line("later plain")


def test_responses_without_a_body(replica: Replica) -> None:
    assert (get(replica, "empty").status_code, get(replica, "empty").content) == (204, b"")
    answer = get(replica, "redirect")
    assert (answer.status_code, answer.headers["location"]) == (307, "/elsewhere")


@pytest.mark.parametrize(("mode", "status"), [("stream", 202), ("astream", 200)])
def test_a_streaming_response(replica: Replica, mode: str, status: int) -> None:
    answer = get(replica, mode)
    assert (answer.status_code, answer.text) == (status, "one two")
    assert answer.headers["content-type"] == "text/x; charset=utf-8"
    if mode == "stream":
        replica.wait_line("now s")


def test_a_file(replica: Replica) -> None:
    answer = get(replica, "file", range="bytes=2-4")
    assert (answer.status_code, answer.text) == (200, "0123456789"), "headers are not kept for who does not ask"
    assert answer.headers["content-disposition"] == 'attachment; filename="d.txt"'
    assert answer.headers["content-type"].startswith("text/plain") and answer.headers["etag"]
    replica.wait_line("later file")
    assert get(replica, "nofile").status_code == 500


def test_a_response_that_sends_itself(replica: Replica) -> None:
    answer = get(replica, "own")
    assert (answer.status_code, answer.text, answer.headers["x-path"]) == (418, "short and stout", "/")
    assert get(replica, "broken").json()["error"] == "internal server error"
    replica.wait_line("a broken response")
    raw = replica.raw(b"GET /?mode=half HTTP/1.1\r\nhost: x\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 203") and raw.endswith(b"4\r\nhalf\r\n")


def test_an_awaitable_callback(replica: Replica) -> None:
    assert get(replica, "callback").json() == {"a": 1}
    replica.wait_line("awaited callback")


@pytest.mark.parametrize(
    ("mode", "status", "detail", "header"),
    [
        ("http", 403, "no entry", ("x-why", "because")),
        ("bare", 404, "Not Found", ("content-type", "application/json")),
        ("werkzeug", 405, "not this way", ("allow", "PUT")),
    ],
)
def test_errors_with_a_status(replica: Replica, mode: str, status: int, detail: str, header: tuple[str, str]) -> None:
    answer = get(replica, mode, x_request_id=f"chosen-{mode}")
    assert answer.json() == {"error": detail, "detail": detail, "request_id": f"chosen-{mode}"}
    assert (answer.status_code, answer.headers[header[0]]) == (status, header[1])


def test_an_exception_that_carries_the_response(replica: Replica) -> None:
    answer = get(replica, "aborted")
    assert (answer.status_code, answer.text, answer.headers["x-why"]) == (409, "taken", "twice")
    assert get(replica, "downstream").status_code == 500


def test_a_code_alone_is_no_status(replica: Replica) -> None:
    assert get(replica, "coded").status_code == 500


def test_uploads(replica: Replica) -> None:
    files = {"file": ("ä.txt", b"content", "text/plain")}
    answer = replica.client.post("/", params={"mode": "upload"}, files=files)
    assert answer.json() == ["ä.txt", 7, "text/plain", "co", "content"]
    head = {"content-type": "multipart/form-data; boundary=b"}
    parts = [
        b"content-disposition: form-data; name=\"file\"; filename*=UTF-8''%c3%a4.txt\r\n\r\nabc",
        b'content-disposition: form-data; name="file"; filename=""\r\ncontent-type: text/x\r\n\r\n',
    ]
    told = []
    for part in parts:
        body = b"--b\r\n" + part + b"\r\n--b--\r\n"
        told.append(replica.client.post("/", params={"mode": "upload"}, content=body, headers=head).json()[:2])
    assert told == [["ä.txt", 3], ["", 0]]
    part = b"content-disposition: form-data; name=x\r\ncontent-type: text/plain; charset=latin-1\r\n\r\n\xfc"
    text = b"--b\r\n" + part + b"\r\n--b--"
    assert replica.client.post("/", params={"mode": "fields"}, content=text, headers=head).json() == {"x": ["ü"]}
