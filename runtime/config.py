"""What the node tells a replica: ReplicaConfig as proto JSON, read once into plain values."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

from cortex.apiserver.v1 import spec_pb2
from cortex.runtime.v1 import replica_config_pb2

_MODEL_TYPES = {
    spec_pb2.MODEL_TYPE_CLASSIFICATION: "classification",
    spec_pb2.MODEL_TYPE_REGRESSION: "regression",
}


_TYPES = {
    spec_pb2.PREDICTOR_TYPE_TENSORFLOW: "tensorflow",
    spec_pb2.PREDICTOR_TYPE_ONNX: "onnx",
    spec_pb2.PREDICTOR_TYPE_TRITON: "triton",
}
_TASKS = {
    spec_pb2.PREDICTOR_TASK_TEXT_GENERATION: "text-generation",
    spec_pb2.PREDICTOR_TASK_EMBEDDING: "embedding",
}
_STARTS = {spec_pb2.WORKER_START_SPAWN: "spawn", spec_pb2.WORKER_START_FORK_LOADED: "fork-loaded"}


@dataclasses.dataclass(frozen=True, slots=True)
class Batching:
    """Server-side batching. `interval` in seconds."""

    size: int
    interval: float


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerPolicy:
    """How workers are started, watched and replaced. Bytes and seconds; 0 turns a limit off."""

    start: str = "fork-server"  # or spawn, fork-loaded
    preload: tuple[str, ...] = ()
    memory_bytes: int = 0
    hang_timeout: float = 0.0
    max_requests: int = 0
    kill_on_cancel: bool = False
    cancel_grace: float = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
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
    predictor_type: str = "python"  # or tensorflow, onnx, triton
    task: str = ""  # or text-generation, embedding
    batching: Batching | None = None
    protobuf_path: str = ""  # of a .proto in the project
    worker: WorkerPolicy = WorkerPolicy()
    models: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    model_cache_dir: str = ""
    model_cache_bytes: int = 0
    triton_home: str = ""
    admin_token_file: str = ""
    neuron_cores: tuple[int, int] = (0, 0)  # first, how many
    memory_bytes: int = 0  # of the whole replica; 0 for no limit
    has_devices: bool = False  # GPUs or accelerators that a worker may hold for itself
    alias: str = ""  # path under which the gateway would publish this replica, where there is none

    @property
    def short_name(self) -> str:
        """The API's own name, by which the Open Inference Protocol and the OpenAI routes know its model."""
        return self.api.rpartition("/")[2]


def load(path: pathlib.Path) -> Settings:
    """Reads the file at `path`."""
    message = replica_config_pb2.ReplicaConfig()
    json_format.Parse(path.read_text(), message, ignore_unknown_fields=True)
    return convert(message)


def convert(message: replica_config_pb2.ReplicaConfig) -> Settings:
    """Applies the defaults that spec.proto documents."""
    spec, predictor = message.spec, message.spec.predictor
    timeout = spec.networking.request_timeout
    return Settings(
        api=message.api,
        revision=message.revision,
        replica=message.replica,
        http_address=message.http_address,
        grpc_address=message.grpc_address,
        monitor_address=message.monitor_address,
        log_file=message.log_file,
        state_file=message.state_file,
        python=message.python,
        drain_timeout=_seconds(message.drain_timeout, message.HasField("drain_timeout"), 60.0),
        start_timeout=_seconds(message.start_timeout, message.HasField("start_timeout"), 600.0),
        request_timeout=_seconds(timeout, spec.networking.HasField("request_timeout"), 60.0),
        max_request_bytes=spec.networking.max_request_bytes or 64 * 1024 * 1024,
        max_concurrency=spec.autoscaling.max_replica_concurrency or 1024,
        processes=predictor.processes_per_replica or 1,
        threads=_threads(predictor),
        log_level=predictor.log_level or "info",
        env=dict(predictor.env),
        setup={
            "project_dir": message.project_dir,
            "path": predictor.path,
            "class_name": predictor.class_name,
            "python_path": predictor.python_path,
            "config": plain(predictor.config),
            "models": plain(predictor.models),
            "threads": _threads(predictor),
            "batching": predictor.HasField("server_side_batching"),
            "log_level": predictor.log_level or "info",
            "predictor_type": _TYPES.get(predictor.type, "python"),
            "inputs": _tensors(predictor.inputs),
            "outputs": _tensors(predictor.outputs),
            "monitoring": {"model_type": _MODEL_TYPES.get(spec.monitoring.model_type, ""), "key": spec.monitoring.key},
        },
        predictor_type=_TYPES.get(predictor.type, "python"),
        task=_TASKS.get(predictor.task, ""),
        batching=_batching(predictor),
        protobuf_path=predictor.protobuf_path,
        worker=_worker(predictor.worker, has_gpus=bool(spec.compute.gpus)),
        models=plain(predictor.models),
        model_cache_dir=message.model_cache_dir,
        model_cache_bytes=message.model_cache_bytes,
        triton_home=message.triton_home,
        admin_token_file=message.admin_token_file,
        neuron_cores=(message.neuron_core_first, message.neuron_core_count),
        memory_bytes=spec.compute.memory_bytes,
        has_devices=bool(spec.compute.gpus or message.neuron_core_count),
        alias=spec.networking.endpoint.rstrip("/") if message.standalone else "",
    )


def _threads(predictor: spec_pb2.Predictor) -> int:
    """Calls that a worker runs at a time. The ancestor's batches took as many threads as calls, and one of them ran a
    batch: as many threads as a batch has calls mean one batch at a time, and predictors that rely on it."""
    threads = predictor.threads_per_process or 1
    return 1 if threads == predictor.server_side_batching.max_batch_size else threads


def _batching(predictor: spec_pb2.Predictor) -> Batching | None:
    if not predictor.HasField("server_side_batching"):
        return None
    told = predictor.server_side_batching
    return Batching(told.max_batch_size, _seconds(told.batch_interval, True, 0.0))


def _tensors(told: Iterable[spec_pb2.Tensor]) -> list[dict[str, Any]]:
    return [{"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)} for tensor in told]


def _worker(told: spec_pb2.WorkerPolicy, *, has_gpus: bool) -> WorkerPolicy:
    return WorkerPolicy(
        # What has touched a GPU cannot be forked, and a library may touch it while it is imported.
        start=_STARTS.get(told.start, "spawn" if has_gpus else "fork-server"),
        preload=tuple(told.preload),
        memory_bytes=told.memory_bytes,
        hang_timeout=_seconds(told.hang_timeout, told.HasField("hang_timeout"), 0.0),
        max_requests=told.max_requests,
        kill_on_cancel=told.on_cancel == spec_pb2.CANCEL_POLICY_KILL,
        cancel_grace=_seconds(told.cancel_grace, told.HasField("cancel_grace"), 5.0),
    )


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A Struct as Python values. It knows doubles only, so whole numbers become int again, as the user wrote them."""
    text = json_format.MessageToJson(struct)
    value: dict[str, Any] = json.loads(text, parse_float=number)
    return value


def number(text: str) -> int | float:
    """A JSON number as its writer meant it."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _seconds(duration: Any, is_set: bool, default: float) -> float:
    return duration.seconds + duration.nanos / 1e9 if is_set else default


def split_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
