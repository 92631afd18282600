"""Workers: how soon a killed one is back, what several with the same weights weigh, and what a start costs."""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import shlex
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.bench import serving, stage
from tests.bench.rounds import Finding
from tests.bench.rows.throughput import Options

_PORT = 18990
_GIGABYTE = 1_000_000_000
_HEAVY = ["joblib", "numpy", "sklearn.linear_model"]  # the last is imported by the pickle, unseen by the fork server


class Replica:
    """One replica whose processes can be seen."""

    def __init__(self, folder: pathlib.Path, project: str, spec: Mapping[str, Any], env: Mapping[str, str]) -> None:
        self._state = folder / "state.json"
        os.environ["BENCH_STATE"] = str(serving.HOME / "state")
        python = str(serving.HOME / "venv/raw/bin/python")
        path = stage.config(folder, _PORT, project, python, spec)
        command = [sys.executable, "-m", "runtime", "--config", str(path)]
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, cwd=serving.ROOT, env={**os.environ, **env}, start_new_session=True)

    def await_answer(self, body: bytes) -> float:
        """Seconds until a request is answered with 200."""
        began = time.monotonic()
        while time.monotonic() - began < 120:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(_PORT, body) == 200:
                    return time.monotonic() - began
            time.sleep(0.002)
        raise TimeoutError("no answer")

    @property
    def workers(self) -> list[int]:
        return [worker["pid"] for worker in json.loads(self._state.read_text())["workers"]]

    def tree(self) -> list[int]:
        found = [self.process.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def ask(port: int, body: bytes) -> int:
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        caller.request("POST", "/", body, {"content-type": "application/json"})
        answer = caller.getresponse()
        answer.read()
        return answer.status
    finally:
        caller.close()


@contextlib.contextmanager
def replica(project: str, spec: Mapping[str, Any] | None = None, **env: str) -> Iterator[Replica]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cortex-bench-"))
    found = Replica(folder, project, spec or {}, env)
    try:
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder, ignore_errors=True)


def recovery(options: Options) -> list[Finding]:
    """iris: its imports (numpy, scipy, scikit-learn) are what a first start takes."""
    shares, firsts, agains = [], [], []
    for _ in range(options.starts):
        with replica("iris", {"predictor": {"worker": {"preload": _HEAVY}}}) as one:
            body = b'{"x": [5.1, 3.5, 1.4, 0.2]}'
            one.await_answer(body)
            firsts.append(time.monotonic() - one.began)
            time.sleep(0.2)
            os.kill(one.workers[0], signal.SIGKILL)
            agains.append(one.await_answer(body))
            shares.append(agains[-1] / firsts[-1])
    note = f"first start {statistics.median(firsts):.2f} s, again after {statistics.median(agains) * 1e3:.0f} ms"
    return [Finding("worker SIGKILL -> serving / first start", "<= 0.15", "", "0.08", shares, note)]


def weights(options: Options) -> list[Finding]:
    """Four workers forked from one that has read 1 GB of safetensors into memory, each of which uses all of it."""
    with tempfile.TemporaryDirectory(prefix="cortex-bench-") as folder:
        path = pathlib.Path(folder, "model.safetensors")
        _write_safetensors(path)
        spec = {"predictor": {"processesPerReplica": 4, "worker": {"start": "WORKER_START_FORK_LOADED"}}}
        shares = []
        for _ in range(max(1, min(options.starts, 3))):
            with replica("weights", spec, BENCH_WEIGHTS=str(path)) as one:
                one.await_answer(b"{}")
                for _ in range(40):
                    ask(_PORT, b"{}")
                shares.append(sum(map(_pss, one.tree())) / _GIGABYTE)
    return [Finding("4 workers on 1 GB of safetensors: PSS / 1 GB", "<= 1.25", "", "1.1", shares)]


def _write_safetensors(path: pathlib.Path) -> None:
    head = json.dumps({"w": {"dtype": "F32", "shape": [_GIGABYTE // 4], "data_offsets": [0, _GIGABYTE]}}).encode()
    block = bytes(range(1, 251)) * 4000
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for _ in range(_GIGABYTE // len(block)):
            file.write(block)


def _pss(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0.0


def cold(options: Options) -> list[Finding]:
    """From nothing to the first answer. `added` is what we need beyond the start of the interpreters."""
    granian = "{bin}/granian --interface rsgi --host 127.0.0.1 --port {port} --workers 1 --loop uvloop --no-ws"
    app = {
        "venv": "raw", "start": f"{granian} --http 1 --log-level warning rsgi_noop:app", "proto": "generic",
        "env": {"PYTHONPATH": str(serving.APPS)},
    }  # fmt: skip
    bare = _cold_shares("noop", app, options.starts)
    # The shared benchmark's own application loads the model of iris whatever it is asked.
    model = _cold_shares("iris", None, options.starts)
    added = []
    for _ in range(options.starts):
        interpreters = _bare_start()
        with replica("noop") as one:
            one.await_answer(b'{"x": 1}')
            added.append((time.monotonic() - one.began - interpreters) * 1e3)
    return [
        dataclasses.replace(bare, what="cold start of a bare noop: CPU seconds / granian", predicted="1.5"),
        dataclasses.replace(
            model, what="cold start with the benchmark's model: CPU seconds / granian", predicted="1.1"
        ),
        Finding("wake from zero: ms added beyond process start", "<= 100", "", "250", added),
    ]


def _cold_shares(workload: str, app: Mapping[str, Any] | None, count: int) -> Finding:
    """Of CPU until the first answer, in turn; the first of each compiles and is not counted."""
    shares, ours, theirs = [], [], []
    for number in range(count + 1):
        with serving.up(workload, {"granian-rsgi": app}, warm=0) as other:
            theirs.append(other.peers["granian-rsgi"].cold_cpu)
        with (
            tempfile.TemporaryDirectory(prefix="cortex-bench-") as folder,
            serving.up(workload, {"cortex": _direct(pathlib.Path(folder), workload)}, warm=0) as other,
        ):
            ours.append(other.peers["cortex"].cold_cpu)
        if number:
            shares.append(ours[-1] / theirs[-1])
    note = f"cortex {statistics.median(ours):.2f} s, granian {statistics.median(theirs):.2f} s of CPU"
    return Finding("", "<= 1.2", "", "", shares, note)


def _direct(folder: pathlib.Path, workload: str) -> dict[str, Any]:
    """A replica as a node starts it: the interpreter of the stage, and what that imports, would count as ours."""
    os.environ["BENCH_STATE"] = str(serving.HOME / "state")
    path = stage.config(folder, serving.FIRST_PORT, workload, str(serving.HOME / "venv/raw/bin/python"), {})
    return {**serving.ours(workload), "start": shlex.join([sys.executable, "-m", "runtime", "--config", str(path)])}


def _bare_start() -> float:
    """Seconds that the two processes a replica consists of take to start without us: ours with its HTTP stack, and the
    predictor's with its module."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import asyncio, httptools, uvloop"], check=True)
    python = str(serving.HOME / "venv/raw/bin/python")
    subprocess.run([python, "-s", str(stage.PROJECTS / "noop/predictor.py")], check=True)
    return time.monotonic() - began
