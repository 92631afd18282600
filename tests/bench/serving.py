"""The shared serving benchmark as a library: its systems, its load generators, and ours among them.

It is looked for in BENCH_SERVING (default ../shared/bench/serving); its environments are in BENCH_HOME (default
~/.cache/cortex-bench), made once by `prepare`. Needs wrk, nginx, h2load and gcc (Debian: wrk nginx-light nghttp2-client
gcc gettext-base).
"""

import argparse
import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.rounds import Cell

ROOT = pathlib.Path(__file__).parents[2]
APPS = pathlib.Path(__file__).parent / "apps"
FOLDER = pathlib.Path(os.environ.get("BENCH_SERVING", ROOT.parent / "shared/bench/serving"))
HOME = pathlib.Path(os.environ.get("BENCH_HOME", pathlib.Path.home() / ".cache/cortex-bench"))
NEEDED = ("raw", "envoy", "driver")
PEERS = ("kserve", "mlserver", "litserve", "bentoml", "triton")
FIRST_PORT = 18600


def environ() -> dict[str, str]:
    return {**os.environ, "BENCH_HOME": str(HOME), "BENCH_PY": sys.executable}


def prepare(names: Sequence[str]) -> None:
    """Makes the environments that are missing; some take minutes."""
    if not (FOLDER / "run.py").exists():
        sys.exit(f"the serving benchmark is not at {FOLDER}; set BENCH_SERVING to where it is")
    missing = [name for name in names if not (HOME / "venv" / name).exists()]
    if missing or not (HOME / "state/hello").exists():
        print(f"preparing {', '.join(missing)} under {HOME} (once)", flush=True)
        subprocess.run([str(FOLDER / "setup.sh"), *missing], env=environ(), check=True)


def _runner() -> Any:
    os.environ["BENCH_HOME"] = str(HOME)
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("serving_run", FOLDER / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ours(
    workload: str, kind: str = "runtime", *, spec: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """One of our stages (stage.py) with the project of that name; `spec` is merged into the API's."""
    command = [sys.executable, "-m", "tests.bench.stage", kind, "{port}", workload, json.dumps(spec or {})]
    return {
        "start": " ".join(map(shlex.quote, command)),
        "env": {"PYTHONPATH": str(ROOT), **(env or {})},
        "proto": "generic",
        "paths": {} if kind == "gateway" else dict.fromkeys(("noop", "iris", "tensor", "iocpu", "batch"), "/"),
    }


class Stage:
    """Systems that are up together."""

    def __init__(self, runner: Any, peers: dict[str, Any]) -> None:
        self._runner = runner
        self.peers = peers

    def load(self, name: str, clients: int, seconds: int) -> Cell:
        """HTTP by one thread of wrk."""
        peer = self.peers[name]
        used = peer.cpu()
        told = self._runner.drive(peer, clients, seconds)
        return _cell(told["n"], told["rps"], told["p50"], told["p99"], peer.cpu() - used, told["err"])

    def grpc(self, name: str, target: tuple[int, str], body: bytes, clients: int, seconds: int, *headers: str) -> Cell:
        """Unary gRPC by h2load, one stream a connection. `target`: port and method."""
        peer = self.peers[name]
        used = peer.cpu()
        with tempfile.TemporaryDirectory() as folder:
            file, log = pathlib.Path(folder, "body"), pathlib.Path(folder, "log")
            file.write_bytes(b"\0" + len(body).to_bytes(4, "big") + body)
            command = ["h2load", "-D", str(seconds), "-c", str(clients), "-m", "1", "-t", "1", "-d", str(file)]
            for header in ("content-type: application/grpc", "te: trailers", *headers):
                command += ["-H", header]
            command += ["--log-file", str(log), f"http://127.0.0.1:{target[0]}{target[1]}"]
            subprocess.run(command, capture_output=True, check=True, timeout=seconds + 60)
            answers = [line.split("\t") for line in log.read_text().splitlines()]
        micros = sorted(int(took) for _, status, took in answers if status == "200")
        errors = len(answers) - len(micros)
        middle, last = micros[len(micros) // 2] / 1e3, micros[int(len(micros) * 0.99)] / 1e3
        return _cell(len(micros), len(micros) / seconds, middle, last, peer.cpu() - used, errors)


def _cell(count: int, rps: float, p50: float, p99: float, cpu: float, errors: int) -> Cell:
    return Cell(rps, p50, p99, cpu / count * 1e6 if count else 0.0, errors)


@contextlib.contextmanager
def up(workload: str, systems: Mapping[str, Mapping[str, Any] | None], warm: int = 16) -> Iterator[Stage]:
    """Starts systems, None for one of the shared benchmark by its name, checks one answer of each and warms them."""
    import tomllib

    runner = _runner()
    known = tomllib.loads((FOLDER / "peers.toml").read_text())
    started: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as folder:
        try:
            peers = {}
            for at, (name, spec) in enumerate(systems.items()):
                chosen = dict(spec or known[name])
                over_http = "tests.bench.stage" in chosen["start"]
                kind = "grpc" if chosen.get("workloads") == ["grpc"] else workload
                kind = "noop" if kind == "grpc" and over_http else kind
                options = argparse.Namespace(workers=1)
                peer = runner.Peer(name, chosen, kind, FIRST_PORT + 10 * at, options, folder)
                started.append(peer)
                peer.start()
                peers[name] = peer
            for peer in peers.values():
                if warm and peer.w != "grpc":
                    runner.drive(peer, warm, 1)
            yield Stage(runner, peers)
        finally:
            for peer in started:
                peer.stop()


@contextlib.contextmanager
def collector(app: Mapping[str, Any]) -> Iterator[int]:
    """A collector of spans; yields its port."""
    port = FIRST_PORT - 10
    command = [part.replace("{bin}", str(HOME / "venv" / app["venv"] / "bin")) for part in shlex.split(app["start"])]
    process = subprocess.Popen(command, env={**os.environ, "BENCH_PORT": str(port)})
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def started(systems: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, int]]:
    """Systems that do not speak the benchmark's workloads: up once their port is open. Yields ports by name."""
    processes, ports = [], {}
    scratch = tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True)
    state = {"BENCH_STATE": str(HOME / "state"), "BENCH_VENVS": str(HOME / "venv"), "BENCH_TMP": scratch.name}
    try:
        for at, (name, system) in enumerate(systems.items()):
            port = ports[name] = FIRST_PORT + 200 + at
            start = system["start"].replace("{port}", str(port))
            start = start.replace("{bin}", str(HOME / "venv" / system.get("venv", "") / "bin"))
            env = {**os.environ, **state, "BENCH_PORT": str(port), **system.get("env", {})}
            processes.append(subprocess.Popen(shlex.split(start), env=env, cwd=ROOT, start_new_session=True))
        for port in ports.values():
            await_port(port)
        yield ports
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        scratch.cleanup()


def await_port(port: int, seconds: float = 60.0) -> None:
    """Until something answers there; a replica only once it is ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            caller = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            caller.request("GET", "/healthz/ready")
            if caller.getresponse().status != 503:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing is ready on port {port}")
