"""Every workload beside every system that can run it, by the runner of the shared serving benchmark.

One worker per system, all up together, A/B/A/B. `cortex-runtime` is one replica, `cortex-gateway` the whole platform.
"""

import functools
import json
import pathlib
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from cortex.runtime.v1 import prediction_service_pb2 as pb
from tests.bench import rounds, serving

WORKLOADS = "noop,iris,iocpu,tensor,batch,grpc"
_CEILINGS = {"batch": ("granian-batcher",)}
_GRPC = ("grpc-aio", "kserve", "mlserver", "triton")
# Triton as callers of a platform reach it: through the barest Envoy.
_TRITON_BEHIND_ENVOY = {
    "venv": "triton",
    "start": "apps/envoy_front.sh grpc {workers} env BENCH_GRPC_PORT=@UP@ {bin}/python apps/triton_start.py",
    "proto": "triton",
    "workloads": ["grpc"],
}
# Ours, by workload: the project and what its spec says.
_BATCHING = {"predictor": {"serverSideBatching": {"maxBatchSize": 32, "batchInterval": "0.005s"}}}
_PROJECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "noop": ("noop", {}),
    "iris": ("iris-batched", _BATCHING),
    "iocpu": ("iocpu", {"predictor": {"threadsPerProcess": 64}}),
    "tensor": ("tensor", {}),
    "batch": ("step", _BATCHING),
}


def compare(workloads: Sequence[str], seconds: int, repeats: int) -> bool:
    """Whether something could not be started."""
    failed = False
    for workload in workloads:
        if workload == "grpc":
            grpc(seconds, repeats)
            continue
        base = _CEILINGS.get(workload, ("granian-rsgi",))
        clients = "16" if workload == "tensor" else "64"
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            pathlib.Path(file.name).write_text(_toml(workload))
            command = [str(serving.FOLDER / "run"), "--peers", ",".join((*base, *serving.PEERS)), "--extra", file.name]
            command += ["--workloads", workload, "--conc", clients, "--dur", str(seconds), "--repeats", str(repeats)]
            command += ["--warm", "1", "--parallel-start", "3"]
            failed |= subprocess.run(command, env=serving.environ()).returncode != 0
    return failed


def grpc(seconds: int, repeats: int) -> None:
    """Unary calls of a noop: ours through the gateway, theirs direct, Triton's both ways.

    The runner of the others knows no metadata.
    """
    request = pb.PredictRequest(body=b'{"x":1}', content_type="application/json").SerializeToString()
    systems: dict[str, Any] = {**dict.fromkeys(_GRPC), "envoy-triton": _TRITON_BEHIND_ENVOY}
    systems["cortex-gateway"] = serving.ours("noop", "gateway")
    method = "/cortex.runtime.v1.PredictionService/Predict"
    with serving.up("grpc", systems, warm=0) as stage:
        measures = {}
        for name, peer in stage.peers.items():
            ours = name == "cortex-gateway"
            target = (peer.port, method) if ours else (peer.gport, peer.method)
            headers = ("cortex-api: noop",) if ours else ()
            body = request if ours else peer.body[5:]
            measures[name] = functools.partial(stage.grpc, name, target, body, 64, seconds, *headers)
        cells = rounds.interleaved(measures, repeats)
    print(f"\n### grpc, c=64\n{rounds.told(cells).replace('; ', chr(10))}", flush=True)


def _toml(workload: str) -> str:
    project, spec = _PROJECTS[workload]
    systems = {"cortex-runtime": serving.ours(project, spec=spec)}
    if workload in ("noop", "tensor"):
        systems["cortex-gateway"] = serving.ours(project, "gateway")
    lines = []
    for name, system in systems.items():
        path = "/" if name == "cortex-runtime" else "/" + project
        lines += [f"[{name}]", f"start = {json.dumps(system['start'])}", 'proto = "generic"']
        lines += [f'workloads = ["{workload}"]', f'paths = {{ {workload} = "{path}" }}']
        lines.append(
            "env = { " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in system["env"].items()) + " }"
        )
    return "\n".join(lines) + "\n"
