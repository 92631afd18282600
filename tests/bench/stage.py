"""Puts a benchmark project on its stage: `python -m tests.bench.stage runtime|gateway PORT PROJECT [SPEC]`.

`runtime` is one replica without the platform around it; `gateway` is a whole local cluster with the project deployed,
reached through Envoy. Both answer on PORT until SIGTERM. SPEC is JSON, merged into the API's spec (runtime only).
"""

import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

PROJECTS = pathlib.Path(__file__).parent / "projects"


def project(name: str, folder: pathlib.Path) -> pathlib.Path:
    target = folder / name
    shutil.copytree(PROJECTS / name, target)
    if name.startswith("iris"):
        shutil.copy(pathlib.Path(os.environ["BENCH_STATE"], "iris.joblib"), target)
    return target


def config(folder: pathlib.Path, port: int, name: str, python: str, spec: Mapping[str, Any]) -> pathlib.Path:
    """Writes what a node would have written; returns the path of it."""
    predictor = {"type": "PREDICTOR_TYPE_PYTHON", "path": "predictor.py", "logLevel": "info"}
    told = {
        "api": f"namespaces/default/apis/{name}",
        "revision": "r1-bench",
        "replica": f"{name}-bench",
        "spec": {**spec, "predictor": {**predictor, **spec.get("predictor", {})}},
        "projectDir": str(project(name, folder)),
        "python": python,
        "httpAddress": f"127.0.0.1:{port}",
        "logFile": str(folder / "replica.jsonl"),
        "stateFile": str(folder / "state.json"),
        "drainTimeout": "1s",
    }
    path = folder / "replica.json"
    path.write_text(json.dumps(told))
    return path


def runtime(port: int, name: str, spec: Mapping[str, Any]) -> None:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cortex-bench-", dir=os.environ.get("BENCH_TMP")))
    python = str(pathlib.Path(os.environ["BENCH_VENVS"], "raw/bin/python"))
    path = config(folder, port, name, python, spec)
    os.execv(sys.executable, [sys.executable, "-m", "runtime", "--config", str(path)])


def gateway(port: int, name: str, spec: Mapping[str, Any]) -> None:
    from tests.e2e import cluster as clusters  # here, as a replica's cold start is measured with this process

    home = pathlib.Path(tempfile.mkdtemp(prefix="cortex-bench-"))
    cluster = clusters.Cluster(home)
    cluster.data_address = f"127.0.0.1:{port}"
    try:
        cluster.up()
        cluster.deploy(project(name, home), "--timeout", "300s")
        signal.pause()
    finally:
        cluster.down()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    told = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
    {"runtime": runtime, "gateway": gateway}[sys.argv[1]](int(sys.argv[2]), sys.argv[3], told)
