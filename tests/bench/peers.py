"""Every workload beside every system that can run it, by the runner of the shared serving benchmark.

One worker per system, all up together, A/B/A/B. `cortex-runtime` is one replica, `cortex-gateway` the whole platform.
"""

import json
import pathlib
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from tests.bench import serving

WORKLOADS = "noop,iris,iocpu,tensor,batch,grpc"
_CEILINGS = {"grpc": ("grpc-aio",), "batch": ("granian-batcher",)}
# Ours, by workload: the project and what its spec says.
_BATCHING = {"predictor": {"serverSideBatching": {"maxBatchSize": 32, "batchInterval": "0.005s"}}}
_PROJECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "noop": ("noop", {}),
    "iris": ("iris-batched", _BATCHING),
    "iocpu": ("iocpu", {}),
    "tensor": ("tensor", {}),
    "batch": ("step", _BATCHING),
    "grpc": ("noop", {}),
}


def compare(workloads: Sequence[str], seconds: int, repeats: int) -> bool:
    """Whether something could not be started."""
    failed = False
    for workload in workloads:
        base = _CEILINGS.get(workload, ("granian-rsgi",))
        clients = "16" if workload == "tensor" else "64"
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            pathlib.Path(file.name).write_text(_toml(workload))
            command = [str(serving.FOLDER / "run"), "--peers", ",".join((*base, *serving.PEERS)), "--extra", file.name]
            command += ["--workloads", workload, "--conc", clients, "--dur", str(seconds), "--repeats", str(repeats)]
            command += ["--warm", "1", "--parallel-start", "3"]
            failed |= subprocess.run(command, env=serving.environ()).returncode != 0
    return failed


def _toml(workload: str) -> str:
    project, spec = _PROJECTS[workload]
    systems = {"cortex-runtime": serving.ours(project, spec=spec)}
    if workload in ("noop", "tensor"):
        systems["cortex-gateway"] = serving.ours(project, "gateway")
    if workload == "grpc":
        systems = {}
    lines = []
    for name, system in systems.items():
        path = "/" if name == "cortex-runtime" else "/" + project
        lines += [f"[{name}]", f"start = {json.dumps(system['start'])}", 'proto = "generic"']
        lines += [f'workloads = ["{workload}"]', f'paths = {{ {workload} = "{path}" }}']
        lines.append(
            "env = { " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in system["env"].items()) + " }"
        )
    return "\n".join(lines) + "\n"
