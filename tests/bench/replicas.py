"""Replicas for measurements of processes: started on a project, watched from outside, stopped."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from services.chassis import processes
from tests.runtime.replica import free_port

PROJECTS = pathlib.Path(__file__).parent / "projects"
WAIT_SECONDS = 120.0


def peer_python() -> str:
    """An interpreter that has numpy, scipy and scikit-learn: of the environments that the peers run in."""
    home = os.environ.get("BENCH_HOME", pathlib.Path.home() / ".cache/cortex-bench")
    return os.environ.get("BENCH_PYTHON", str(pathlib.Path(home, "venv/raw/bin/python")))


class Replica:
    """One running replica; `born` is the monotonic time at which its process was started."""

    def __init__(self, folder: pathlib.Path, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.folder, self.process, self.port = folder, process, port
        self.born = time.monotonic()

    @property
    def state(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
            return found
        return {"state": "", "workers": []}

    @property
    def workers(self) -> list[int]:
        return [worker["pid"] for worker in self.state["workers"] if worker["state"] == "READY"]

    def ask(self) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", data=b"{}", method="POST")
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as response:
            return json.load(response)

    def wait(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while not what():
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"the replica did not get there; see {self.folder}: {self.state}")
            time.sleep(0.002)

    def tree(self) -> list[int]:
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for file in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    waiting += map(int, file.read_text().split())
        return found

    def pss(self) -> int:
        """Bytes of all its processes, what they share counted once."""
        return sum(map(processes.proportional_bytes, self.tree()))


@contextlib.contextmanager
def running(project: str, predictor: Mapping[str, Any]) -> Iterator[Replica]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cortex-bench-"))
    port = free_port()
    config = {
        "api": f"namespaces/default/apis/{project}",
        "revision": "r1-bench",
        "replica": f"{project}-bench",
        "spec": {"predictor": {"type": "PREDICTOR_TYPE_PYTHON", "path": "predictor.py", **predictor}},
        "projectDir": str(PROJECTS / project),
        "python": peer_python(),
        "httpAddress": f"127.0.0.1:{port}",
        "logFile": str(folder / "replica.jsonl"),
        "stateFile": str(folder / "state.json"),
        "drainTimeout": "1s",
    }
    (folder / "replica.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "runtime", "--config", str(folder / "replica.json")]
    replica = Replica(folder, subprocess.Popen(command), port)
    try:
        yield replica
    finally:
        replica.process.terminate()
        replica.process.wait(30)
