"""A real replica as a process of its own, with real workers, for the tests of this folder."""

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

WAIT_SECONDS = 15.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(what: Callable[[], Any], timeout: float = WAIT_SECONDS) -> Any:
    """The first truthy value of `what`."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := what():
            return value
        time.sleep(0.01)
    raise AssertionError(f"did not happen within {timeout} s")


class Replica:
    """One running replica."""

    def __init__(self, folder: pathlib.Path, process: "subprocess.Popen[bytes]", http: int, grpc: int) -> None:
        self.folder = folder
        self.process = process
        self.http_port = http
        self.grpc_address = f"127.0.0.1:{grpc}"
        self._clients = threading.local()
        self._opened: list[httpx.Client] = []

    @property
    def client(self) -> httpx.Client:
        """Of the calling thread: one that many threads share loses a connection now and then."""
        found: httpx.Client | None = getattr(self._clients, "client", None)
        if found is None:
            # There is no TLS here, and to read the certificates it would trust takes longer than many a test.
            url = f"http://127.0.0.1:{self.http_port}"
            found = self._clients.client = httpx.Client(base_url=url, timeout=WAIT_SECONDS, verify=False)
            self._opened.append(found)
        return found

    @property
    def state(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            value: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
            return value
        return {"state": "", "workers": []}

    @property
    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.state["workers"] if worker["state"] == "READY"]

    def wait_state(self, state: str) -> dict[str, Any]:
        wait_for(lambda: self.state["state"] == state)
        return self.state

    def lines(self) -> list[dict[str, Any]]:
        """Without the last one, where it is still being written."""
        with contextlib.suppress(FileNotFoundError):
            whole = (self.folder / "log.jsonl").read_text().rpartition("\n")[0]
            return [json.loads(line) for line in whole.splitlines()]
        return []

    def wait_line(self, message: str) -> dict[str, Any]:
        found: dict[str, Any] = wait_for(lambda: next((x for x in self.lines() if message in x["message"]), None))
        return found

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.http_port), timeout=WAIT_SECONDS)

    def raw(self, data: bytes) -> bytes:
        """Sends bytes and reads until the other side closes."""
        with self.connect() as sock:
            sock.sendall(data)
            return read_all(sock)

    def stop(self) -> int:
        for client in self._opened:
            client.close()
        if self.process.poll() is None and self.state["state"] != "DRAINING":
            self.process.send_signal(signal.SIGTERM)
            # A second signal ends the drain at once; two that come as one are one.
            with contextlib.suppress(AssertionError):
                wait_for(lambda: self.state["state"] == "DRAINING" or self.process.poll() is not None, 3)
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS)


def readers(served: Replica) -> list[int]:
    """The processes that read large texts for the front."""
    return children(served, b"spawn_main")


def children(served: Replica, word: bytes) -> list[int]:
    """Those with that word in their command line."""
    tasks = pathlib.Path(f"/proc/{served.process.pid}/task").glob("*/children")
    pids = [int(pid) for task in tasks for pid in task.read_text().split()]
    return [pid for pid in pids if word in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]


def read_all(sock: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def running(
    folder: pathlib.Path,
    source: str,
    *,
    predictor: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    ready: bool = True,
    module: str = "runtime",
) -> Iterator[Replica]:
    """Starts a replica of the predictor in `source` and stops it at the end."""
    project = folder / "project"
    project.mkdir(parents=True, exist_ok=True)
    (project / "predictor.py").write_text(textwrap.dedent(source))
    http, grpc = free_port(), free_port()
    document = {
        "api": "namespaces/default/apis/demo",
        "revision": "r1",
        "replica": "demo-r1-abcde",
        "spec": {
            "kind": "API_KIND_REALTIME",
            "predictor": {"type": "PREDICTOR_TYPE_PYTHON", "path": "predictor.py", **(predictor or {})},
            **(spec or {}),
        },
        "projectDir": str(project),
        "python": sys.executable,
        "httpAddress": f"127.0.0.1:{http}",
        "logFile": str(folder / "log.jsonl"),
        "stateFile": str(folder / "state.json"),
        "drainTimeout": "10s",
        **({"grpcAddress": f"127.0.0.1:{grpc}"} if (config or {}).get("grpcAddress") == "free" else {}),
        **{key: value for key, value in (config or {}).items() if key != "grpcAddress"},
    }
    (folder / "replica.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", module, "--config", str(folder / "replica.json")]
    root = pathlib.Path(__file__).parents[2]
    import os

    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | dict(environ or {})
    process = subprocess.Popen(command, cwd=root, env=env, stderr=(folder / "stderr").open("wb"))
    replica = Replica(folder, process, http, grpc)
    try:
        if ready:
            wait_for(lambda: replica.state["state"] == "READY" or process.poll() is not None)
            assert process.poll() is None, (folder / "stderr").read_text() + str(replica.lines())
        yield replica
    finally:
        replica.stop()
