"""A control plane, a project and a place for the user's files, for every test of the client."""

import json
import pathlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from cortex_client.cli import root
from tests.fakes.control_plane import ControlPlane

OTEL = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
YAML = "- name: iris\n  predictor:\n    type: python\n    path: predictor.py\n"


class Result(NamedTuple):
    code: int
    out: str
    err: str


Cortex = Callable[..., Result]


@pytest.fixture
def plane(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    for name in ("NO_COLOR", "FORCE_COLOR", "CORTEX_ENVIRONMENT", "CORTEX_NAMESPACE", *OTEL):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CORTEX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with ControlPlane() as found:
        found.write_cluster_file(tmp_path / "home")
        yield found


@pytest.fixture
def project(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "predictor.py").write_text("class PythonPredictor: ...\n")
    (folder / "cortex.yaml").write_text(YAML)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cortex(plane: ControlPlane, capfd: pytest.CaptureFixture[str]) -> Cortex:
    """Runs a command in this process."""

    def run(*argv: str) -> Result:
        capfd.readouterr()
        code = root.run(argv)
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run


class _Door(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        failed = body == b'"fail"'
        answer = {"error": "predictor raised"} if failed else {"got": json.loads(body), "path": self.path}
        data, kind = json.dumps(answer).encode(), "application/json"
        if body.startswith(b'{"say"'):
            data, kind = json.loads(body)["say"].encode(), json.loads(body)["as"]
        self.send_response(500 if failed else 200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name in ("x-request-id", "traceparent", "tracestate"):
            if name in self.headers:
                self.send_header(name, self.headers[name])
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def http_door(plane: ControlPlane) -> Iterator[str]:
    """An API over HTTP: echoes, and fails for the payload "fail"."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    plane.data_url = f"http://127.0.0.1:{server.server_port}"
    yield plane.data_url
    server.shutdown()
    thread.join(timeout=5)
    server.server_close()
