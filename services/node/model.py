"""The words of the node: what was asked for, what is seen of it, and the record that lies between.

Frozen data only. Times are seconds since the epoch as floats, sizes are bytes, durations are seconds.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from services.chassis import processes


class Reason(enum.Enum):
    """Why a replica failed; values equal `cortex.type.v1.ConditionReason` without its prefix."""

    ENVIRONMENT_FAILED = "ENVIRONMENT_FAILED"
    BUNDLE_FAILED = "BUNDLE_FAILED"
    MODEL_FAILED = "MODEL_FAILED"
    IMPORT_FAILED = "IMPORT_FAILED"
    INVALID_PREDICTOR = "INVALID_PREDICTOR"
    CONSTRUCTOR_FAILED = "CONSTRUCTOR_FAILED"
    CRASH_LOOP = "CRASH_LOOP"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    EXITED = "EXITED"


class State(enum.Enum):
    """Life of a replica; values equal `cortex.apiserver.v1.ReplicaState` without its prefix."""

    PENDING = "PENDING"
    BUILDING_ENVIRONMENT = "BUILDING_ENVIRONMENT"
    STARTING = "STARTING"
    READY = "READY"
    UNREADY = "UNREADY"
    BACKING_OFF = "BACKING_OFF"
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    reason: Reason
    message: str
    time: float
    exit_code: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What StartReplica asked for. `spec` is the ApiSpec as protobuf JSON, handed on unread to the runtime."""

    replica: str
    revision: str
    bundle: str
    spec: Mapping[str, Any]
    predictor_type: str = "PYTHON"
    python_version: str = ""
    requirements: str = ""
    conda_packages: str = ""
    shell_script: str = ""
    memory_bytes: int = 0
    cpu_millis: int = 0
    neuron_devices: int = 0
    worker_processes: int = 1
    drain_timeout: float = 60.0

    @property
    def api(self) -> str:
        return self.revision.rpartition("/revisions/")[0]

    @property
    def revision_id(self) -> str:
        return self.revision.rpartition("/")[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """All that has to be on disk before the process can start. `environment` is the virtual environment's digest."""

    project_dir: str
    python: str
    environment: str


@dataclasses.dataclass(frozen=True, slots=True)
class StopIntent:
    """Somebody wants the replica gone. `signal_time` is when SIGTERM was sent, None before that."""

    drain_timeout: float
    signal_time: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """One run of the replica's process. `ready_time` is when this run first was ready; `boot_log_offset` is where its
    output begins in boot.log; `killed_for` is the failure for which the node itself ended it; `stopped_since` is when
    it was first seen standing still."""

    identity: processes.Identity
    time: float
    boot_log_offset: int = 0
    ready_time: float | None = None
    killed_for: Failure | None = None
    stopped_since: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """All the node has to remember of a replica, written to disk before and after every effect.

    `crashes` counts failures in a row (it sets the back-off), `unready_crashes` those of them that never were ready.
    """

    wish: Wish
    http_address: str
    grpc_address: str
    create_time: float
    launch: Launch | None = None
    stop: StopIntent | None = None
    environment: str = ""
    ready_time: float | None = None
    restart_count: int = 0
    crashes: int = 0
    unready_crashes: int = 0
    not_before: float = 0.0
    last_failure: Failure | None = None
    neuron_core_first: int = 0
    neuron_core_count: int = 0


class Progress(enum.Enum):
    """How far the preparation of a replica is."""

    NONE = "NONE"
    BUNDLE = "BUNDLE"
    ENVIRONMENT = "ENVIRONMENT"
    DONE = "DONE"
    FAILED = "FAILED"


@dataclasses.dataclass(frozen=True, slots=True)
class Preparation:
    progress: Progress = Progress.NONE
    message: str = ""
    prepared: Prepared | None = None
    failure: Failure | None = None


class Life(enum.Enum):
    NONE = "NONE"
    RUNNING = "RUNNING"
    GONE = "GONE"


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """The runtime's own word about itself, read from its state file."""

    pid: int
    state: State
    message: str = ""
    failure: Failure | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """What is seen of a replica at one instant. `exit_code` is None while it runs and where nobody could tell;
    `report` speaks of the run in the record, never of an earlier one; `stopped`: it stands still, by SIGSTOP."""

    preparation: Preparation = Preparation()
    life: Life = Life.NONE
    exit_code: int | None = None
    report: Report | None = None
    boot_log: str = ""
    memory_bytes: int = 0
    out_of_memory_kills: int = 0
    stopped: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """A replica as others see it (`cortex.apiserver.v1.Replica` on the wire)."""

    id: str
    revision: str
    state: State
    pid: int
    restart_count: int
    last_failure: Failure | None
    create_time: float
    ready_time: float | None
    message: str
    http_address: str
    grpc_address: str
