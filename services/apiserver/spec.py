"""A user's wish for one API, every default filled in. Mirrors `cortex/apiserver/v1/spec.proto`; no protobuf here."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any


class ModelType(enum.Enum):
    CLASSIFICATION = "CLASSIFICATION"
    REGRESSION = "REGRESSION"


@dataclasses.dataclass(frozen=True, slots=True)
class ServerSideBatching:
    """`batch_interval` in seconds."""

    max_batch_size: int = 0
    batch_interval: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """As the metadata of the Open Inference Protocol describes it; -1 where a size varies."""

    name: str = ""
    datatype: str = ""
    shape: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerPolicy:
    """How workers are started, watched and replaced. Bytes and seconds; 0 turns a limit off."""

    start: str = "FORK_SERVER"
    preload: tuple[str, ...] = ()
    memory_bytes: int = 0
    hang_timeout: float = 0.0
    max_requests: int = 0
    on_cancel: str = "WAIT"
    cancel_grace: float = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Predictor:
    """The user's code. `config` and `models` hold JSON values; `pip`, `conda` and `shell` name files of the bundle."""

    path: str
    type: str = "PYTHON"
    class_name: str = ""
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    python_path: str = ""
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    processes_per_replica: int = 1
    threads_per_process: int = 1
    log_level: str = "info"
    pip: str = ""
    python_version: str = ""
    models: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    conda: str = ""
    shell: str = ""
    server_side_batching: ServerSideBatching | None = None
    protobuf_path: str = ""
    task: str = ""
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    worker: WorkerPolicy = WorkerPolicy()


@dataclasses.dataclass(frozen=True, slots=True)
class Compute:
    cpu_millis: int = 200
    memory_bytes: int = 0
    gpus: int = 0
    neuron_devices: int = 0
    node_groups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Networking:
    """Durations in seconds; `request_timeout` 0 means none."""

    endpoint: str
    request_timeout: float = 60.0
    retries: bool = True
    max_request_bytes: int = 64 * 1024 * 1024
    activation_timeout: float = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Autoscaling:
    """The ancestor's fields (reference cortex.md, 2.2 and 5). Durations in seconds."""

    min_replicas: int = 1
    max_replicas: int = 100
    init_replicas: int = 1
    target_in_flight: float = 1.0
    max_replica_concurrency: int = 1024
    window: float = 60.0
    downscale_stabilization_period: float = 300.0
    upscale_stabilization_period: float = 60.0
    max_downscale_factor: float = 0.75
    max_upscale_factor: float = 1.5
    downscale_tolerance: float = 0.05
    upscale_tolerance: float = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class UpdateStrategy:
    """`max_surge` and `max_unavailable` are a number or a percentage such as `25%`. Durations in seconds."""

    max_surge: str = "25%"
    max_unavailable: str = "25%"
    progress_deadline: float = 600.0
    drain_timeout: float = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Monitoring:
    model_type: ModelType
    key: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ApiSpec:
    predictor: Predictor
    networking: Networking
    bundle_digest: str
    kind: str = "REALTIME"
    compute: Compute = Compute()
    autoscaling: Autoscaling = Autoscaling()
    update_strategy: UpdateStrategy = UpdateStrategy()
    monitoring: Monitoring | None = None
    source: str = ""
    not_in_effect: tuple[str, ...] = ()
