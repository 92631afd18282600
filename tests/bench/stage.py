"""Puts a benchmark project on its stage: `python -m tests.bench.stage runtime|gateway PORT WORKLOAD`.

`runtime` is one replica without the platform around it; `gateway` is a whole local cluster with the project deployed,
reached through Envoy. Both answer on PORT until SIGTERM.
"""

import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile

from tests.e2e import cluster as clusters

PROJECTS = pathlib.Path(__file__).parent / "projects"


def project(workload: str, folder: pathlib.Path) -> pathlib.Path:
    target = folder / workload
    shutil.copytree(PROJECTS / workload, target)
    model = pathlib.Path(os.environ["BENCH_STATE"], "iris.joblib")
    if workload == "iris":
        shutil.copy(model, target)
    return target


def runtime(port: int, workload: str) -> None:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cortex-bench-"))
    config = {
        "api": f"namespaces/default/apis/{workload}",
        "revision": "r1-bench",
        "replica": f"{workload}-bench",
        "spec": {"predictor": {"type": "PREDICTOR_TYPE_PYTHON", "path": "predictor.py", "logLevel": "info"}},
        "projectDir": str(project(workload, folder)),
        "python": str(pathlib.Path(os.environ["BENCH_VENVS"], "raw/bin/python")),
        "httpAddress": f"127.0.0.1:{port}",
        "logFile": str(folder / "replica.jsonl"),
        "stateFile": str(folder / "state.json"),
        "drainTimeout": "1s",
    }
    (folder / "replica.json").write_text(json.dumps(config))
    os.execv(sys.executable, [sys.executable, "-m", "runtime", "--config", str(folder / "replica.json")])


def gateway(port: int, workload: str) -> None:
    home = pathlib.Path(tempfile.mkdtemp(prefix="cortex-bench-"))
    cluster = clusters.Cluster(home)
    cluster.data_address = f"127.0.0.1:{port}"
    try:
        cluster.up()
        cluster.deploy(project(workload, home), "--timeout", "300s")
        signal.pause()
    finally:
        cluster.down()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    {"runtime": runtime, "gateway": gateway}[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
