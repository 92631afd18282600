"""The words of the apiserver's domain: what users want, what is observed, and what lies between.

Frozen data only. Times are seconds since the epoch (UTC) as floats, durations are seconds, sizes are bytes. The words
of a user's wish (`ApiSpec` and its parts) are in `spec.py`.
"""

import dataclasses
import enum
from collections.abc import Mapping

from services.apiserver import spec as specs


class Reason(enum.Enum):
    """Why something is as it is; values equal `cortex.type.v1.ConditionReason` without its prefix."""

    UNSPECIFIED = "UNSPECIFIED"
    PENDING = "PENDING"
    BUILDING_ENVIRONMENT = "BUILDING_ENVIRONMENT"
    ENVIRONMENT_FAILED = "ENVIRONMENT_FAILED"
    STARTING = "STARTING"
    IMPORT_FAILED = "IMPORT_FAILED"
    INVALID_PREDICTOR = "INVALID_PREDICTOR"
    CONSTRUCTOR_FAILED = "CONSTRUCTOR_FAILED"
    CRASH_LOOP = "CRASH_LOOP"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    PROGRESS_DEADLINE_EXCEEDED = "PROGRESS_DEADLINE_EXCEEDED"
    REVISION_UNHEALTHY = "REVISION_UNHEALTHY"
    ROLLING_OUT = "ROLLING_OUT"
    SCALED_TO_ZERO = "SCALED_TO_ZERO"
    ACTIVATING = "ACTIVATING"
    NODE_UNREACHABLE = "NODE_UNREACHABLE"
    GATEWAY_PENDING = "GATEWAY_PENDING"
    GATEWAY_REJECTED = "GATEWAY_REJECTED"
    DELETING = "DELETING"
    REPLICAS_UNAVAILABLE = "REPLICAS_UNAVAILABLE"
    BUNDLE_FAILED = "BUNDLE_FAILED"
    MODEL_FAILED = "MODEL_FAILED"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    OK = "OK"


class ReplicaState(enum.Enum):
    """Life of a replica; values equal `cortex.apiserver.v1.ReplicaState` without its prefix."""

    PENDING = "PENDING"
    BUILDING_ENVIRONMENT = "BUILDING_ENVIRONMENT"
    STARTING = "STARTING"
    READY = "READY"
    UNREADY = "UNREADY"
    BACKING_OFF = "BACKING_OFF"
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"
    UNKNOWN = "UNKNOWN"


@dataclasses.dataclass(frozen=True, slots=True)
class ReplicaFailure:
    reason: Reason
    message: str
    time: float
    exit_code: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Replica:
    """One observed copy of a revision. `revision` is an id (`r3-9f1c2ab4`), `api` a resource name."""

    id: str
    api: str
    revision: str
    state: ReplicaState
    create_time: float
    ready_time: float | None = None
    pid: int = 0
    restart_count: int = 0
    last_failure: ReplicaFailure | None = None
    message: str = ""
    http_address: str = ""
    grpc_address: str = ""


class RevisionState(enum.Enum):
    PENDING = "PENDING"
    SERVING = "SERVING"
    RETIRED = "RETIRED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"


class RevisionCause(enum.Enum):
    DEPLOY = "DEPLOY"
    REFRESH = "REFRESH"


@dataclasses.dataclass(frozen=True, slots=True)
class Revision:
    """Immutable content (`spec`, `content_digest`) with what became of it (`state`, `reason`, `message`)."""

    api: str
    id: str
    uid: str
    number: int
    spec: specs.ApiSpec
    content_digest: str
    create_time: float
    cause: RevisionCause = RevisionCause.DEPLOY
    state: RevisionState = RevisionState.PENDING
    reason: Reason = Reason.UNSPECIFIED
    message: str = ""


class RolloutState(enum.Enum):
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"


@dataclasses.dataclass(frozen=True, slots=True)
class Rollout:
    """Movement of traffic. `progress_time` is when it last came forward: the progress deadline counts from there."""

    state: RolloutState
    from_revision: str
    to_revision: str
    start_time: float
    progress_time: float
    end_time: float | None = None
    reason: Reason = Reason.UNSPECIFIED
    message: str = ""
    ready_high_water: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Api:
    """The record of an API: a mutable pointer at revisions.

    `serving_revision` is the id of the revision that serves ("" before the first), `target_revision` the id of the one
    wanted. `desired_replicas` is the autoscaler's last word within the bounds of `spec.autoscaling`.
    """

    name: str
    uid: str
    generation: int
    version: int
    labels: Mapping[str, str]
    spec: specs.ApiSpec
    create_time: float
    update_time: float
    target_revision: str
    serving_revision: str
    desired_replicas: int
    rollout: Rollout | None = None
    delete_time: float | None = None


class Truth(enum.Enum):
    TRUE = "TRUE"
    FALSE = "FALSE"
    UNKNOWN = "UNKNOWN"


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: Truth
    reason: Reason
    message: str
    last_transition_time: float


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """What is observed of an API; built anew at every pass (`ApiStatus` on the wire)."""

    observed_generation: int
    conditions: tuple[Condition, ...]
    reconciling: bool
    url: str
    traffic: Mapping[str, int]
    ready_replicas: int
    updated_replicas: int
    routable_replicas: int
    replicas: tuple[Replica, ...]
    observe_time: float | None


class Severity(enum.Enum):
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """What happened. `id` is 0 until the store assigns one; equal events in a row are folded (`count`)."""

    api: str
    type: str
    severity: Severity
    message: str
    time: float
    reason: Reason = Reason.UNSPECIFIED
    revision: str = ""
    replica: str = ""
    actor: str = "reconciler"
    trace_id: str = ""
    count: int = 1
    id: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A request id that was answered: `digest` of its arguments, `name` of the resource it was answered with."""

    request_id: str
    digest: str
    name: str
    time: float


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """One replica as the gateway sees it."""

    replica: str
    http_address: str
    grpc_address: str


@dataclasses.dataclass(frozen=True, slots=True)
class RevisionRoute:
    """One revision's share of an API's traffic: `weight` is a percentage, the weights of a route sum to 100."""

    revision: str
    weight: int
    endpoints: tuple[Endpoint, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """All the gateway is told about one API; the xDS snapshot is a pure function of the set of these.

    `activate` puts the ext_authz hold in front: no replica is there, the first request has to wait for one. `to_zero`
    tells that this may be so for long: what is held goes to any replica then, of whichever revision is there by then.
    """

    api: str
    endpoint: str
    networking: specs.Networking
    max_replica_concurrency: int
    revisions: tuple[RevisionRoute, ...]
    activate: bool
    to_zero: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class GatewayView:
    """What is known of the gateways at one instant.

    `acked` holds, per API, the newest route that *every* connected gateway has acknowledged in full. `in_use` holds the
    ids of the replicas that some gateway may still send requests to; None when no gateway is connected, so that nothing
    is known. `rejected` holds, per API, a gateway's own words about configuration it refused.
    """

    connected: bool
    acked: Mapping[str, Route]
    in_use: frozenset[str] | None
    rejected: Mapping[str, str]
    last_seen: float | None
