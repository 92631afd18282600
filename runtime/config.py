"""What the node tells a replica: ReplicaConfig as proto JSON, read once into plain values.

Tuples with names, as each start makes their classes: it takes a fifth of the time that dataclasses take.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from runtime import proto_json

_MODEL_TYPES = {"MODEL_TYPE_CLASSIFICATION": "classification", "MODEL_TYPE_REGRESSION": "regression"}
_TYPES = {
    "PREDICTOR_TYPE_TENSORFLOW": "tensorflow",
    "PREDICTOR_TYPE_ONNX": "onnx",
    "PREDICTOR_TYPE_TRITON": "triton",
}
_TASKS = {"PREDICTOR_TASK_TEXT_GENERATION": "text-generation", "PREDICTOR_TASK_EMBEDDING": "embedding"}
_STARTS = {"WORKER_START_SPAWN": "spawn", "WORKER_START_FORK_LOADED": "fork-loaded"}


class Batching(NamedTuple):
    """Server-side batching. `interval` in seconds."""

    size: int
    interval: float


class WorkerPolicy(NamedTuple):
    """How workers are started, watched and replaced. Bytes and seconds; 0 turns a limit off."""

    start: str = "fork-server"  # or spawn, fork-loaded
    preload: tuple[str, ...] = ()
    memory_bytes: int = 0
    hang_timeout: float = 0.0
    max_requests: int = 0
    kill_on_cancel: bool = False
    cancel_grace: float = 5.0


class Settings(NamedTuple):
    """Times in seconds, sizes in bytes. `request_timeout` 0 means none."""

    api: str
    revision: str
    replica: str
    http_address: str
    grpc_address: str
    monitor_address: str
    log_file: str
    state_file: str
    python: str
    drain_timeout: float
    start_timeout: float
    request_timeout: float
    max_request_bytes: int
    max_concurrency: int
    processes: int
    threads: int
    log_level: str
    env: Mapping[str, str]
    setup: Mapping[str, Any]  # what each worker is told to load
    models: Mapping[str, Any]
    predictor_type: str = "python"  # or tensorflow, onnx, triton
    task: str = ""  # or text-generation, embedding
    batching: Batching | None = None
    protobuf_path: str = ""  # of a .proto in the project
    worker: WorkerPolicy = WorkerPolicy()
    model_cache_dir: str = ""
    model_cache_bytes: int = 0
    triton_home: str = ""
    admin_token_file: str = ""
    neuron_cores: tuple[int, int] = (0, 0)  # first, how many
    memory_bytes: int = 0  # of the whole replica; 0 for no limit
    gpus: int = 0
    has_devices: bool = False  # GPUs or accelerators that a worker may hold for itself
    alias: str = ""  # path under which the gateway would publish this replica, where there is none

    @property
    def short_name(self) -> str:
        """The API's own name, by which the Open Inference Protocol and the OpenAI routes know its model."""
        return self.api.rpartition("/")[2]


def load(path: pathlib.Path) -> Settings:
    """Reads the file at `path`. Raises proto_json.ParseError."""
    try:
        return convert(proto_json.loads(path.read_text()))
    except proto_json.ParseError as error:
        raise proto_json.ParseError(f"{path} is no ReplicaConfig as the node writes it: {error}") from None


def convert(told: proto_json.Message) -> Settings:
    """Applies the defaults that spec.proto documents. Raises proto_json.ParseError."""
    spec = told.message("spec")
    predictor, networking, compute = (spec.message(name) for name in ("predictor", "networking", "compute"))
    has_gpus, cores = bool(compute.whole("gpus")), told.whole("neuronCoreCount")
    setup = _setup(told.text("projectDir"), predictor, spec.message("monitoring"))
    return Settings(
        api=told.text("api"),
        revision=told.text("revision"),
        replica=told.text("replica"),
        http_address=told.text("httpAddress"),
        grpc_address=told.text("grpcAddress"),
        monitor_address=told.text("monitorAddress"),
        log_file=told.text("logFile"),
        state_file=told.text("stateFile"),
        python=told.text("python"),
        drain_timeout=told.seconds("drainTimeout", 60.0),
        start_timeout=told.seconds("startTimeout", 600.0),
        request_timeout=networking.seconds("requestTimeout", 60.0),
        max_request_bytes=networking.whole("maxRequestBytes") or 64 * 1024 * 1024,
        max_concurrency=spec.message("autoscaling").whole("maxReplicaConcurrency") or 1024,
        processes=predictor.whole("processesPerReplica") or 1,
        threads=setup["threads"],
        log_level=setup["log_level"],
        env=predictor.text_map("env"),
        setup=setup,
        predictor_type=setup["predictor_type"],
        task=predictor.choice("task", _TASKS, ""),
        batching=_batching(predictor),
        protobuf_path=predictor.text("protobufPath"),
        worker=_worker(predictor.message("worker"), has_gpus=has_gpus),
        models=setup["models"],
        model_cache_dir=told.text("modelCacheDir"),
        model_cache_bytes=told.whole("modelCacheBytes"),
        triton_home=told.text("tritonHome"),
        admin_token_file=told.text("adminTokenFile"),
        neuron_cores=(told.whole("neuronCoreFirst"), cores),
        memory_bytes=compute.whole("memoryBytes"),
        gpus=compute.whole("gpus"),
        has_devices=has_gpus or bool(cores),
        alias=networking.text("endpoint").rstrip("/") if told.flag("standalone") else "",
    )


def _setup(project: str, predictor: proto_json.Message, monitoring: proto_json.Message) -> dict[str, Any]:
    return {
        "project_dir": project,
        "path": predictor.text("path"),
        "class_name": predictor.text("className"),
        "python_path": predictor.text("pythonPath"),
        "config": predictor.struct("config"),
        "models": predictor.struct("models"),
        "threads": _threads(predictor),
        "batching": "serverSideBatching" in predictor,
        "log_level": predictor.text("logLevel") or "info",
        "predictor_type": predictor.choice("type", _TYPES, "python"),
        "inputs": [_tensor(told) for told in predictor.messages("inputs")],
        "outputs": [_tensor(told) for told in predictor.messages("outputs")],
        "monitoring": {
            "model_type": monitoring.choice("modelType", _MODEL_TYPES, ""),
            "key": monitoring.text("key"),
        },
    }


def _threads(predictor: proto_json.Message) -> int:
    """Calls that a worker runs at a time. The ancestor's batches took as many threads as calls, and one of them ran a
    batch: as many threads as a batch has calls mean one batch at a time, and predictors that rely on it."""
    threads = predictor.whole("threadsPerProcess") or 1
    return 1 if threads == predictor.message("serverSideBatching").whole("maxBatchSize") else threads


def _batching(predictor: proto_json.Message) -> Batching | None:
    if "serverSideBatching" not in predictor:
        return None
    told = predictor.message("serverSideBatching")
    return Batching(told.whole("maxBatchSize"), told.seconds("batchInterval", 0.0))


def _tensor(told: proto_json.Message) -> dict[str, Any]:
    return {"name": told.text("name"), "datatype": told.text("datatype"), "shape": told.wholes("shape")}


def _worker(told: proto_json.Message, *, has_gpus: bool) -> WorkerPolicy:
    return WorkerPolicy(
        # What has touched a GPU cannot be forked, and a library may touch it while it is imported.
        start=told.choice("start", _STARTS, "spawn" if has_gpus else "fork-server"),
        preload=told.texts("preload"),
        memory_bytes=told.whole("memoryBytes"),
        hang_timeout=told.seconds("hangTimeout", 0.0),
        max_requests=told.whole("maxRequests"),
        kill_on_cancel=told.text("onCancel") == "CANCEL_POLICY_KILL",
        cancel_grace=told.seconds("cancelGrace", 5.0),
    )


def split_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
