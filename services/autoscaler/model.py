"""The words of the autoscaler: what an API may have, what is seen of it, and what follows.

Frozen data only. Durations are seconds. `now` in the rules is monotonic time; wall time appears in records alone.
"""

import dataclasses
import enum
from typing import NamedTuple


class Term(enum.Enum):
    """The terms of a decision in the order they are applied; values equal `DecisionTerm` without its prefix."""

    LOAD = "LOAD"
    TOLERANCE = "TOLERANCE"
    DOWNSCALE_FACTOR = "DOWNSCALE_FACTOR"
    UPSCALE_FACTOR = "UPSCALE_FACTOR"
    MIN_REPLICAS = "MIN_REPLICAS"
    MAX_REPLICAS = "MAX_REPLICAS"
    DOWNSCALE_STABILIZATION = "DOWNSCALE_STABILIZATION"
    UPSCALE_STABILIZATION = "UPSCALE_STABILIZATION"
    NO_DATA = "NO_DATA"
    ACTIVATION = "ACTIVATION"
    NOT_READY = "NOT_READY"


class Blindness(enum.Enum):
    """Why a number of replicas cannot be judged now; the value is the half sentence for people."""

    NO_REPORT = "no gateway has reported its load for more than 5 s"
    NO_SAMPLE = "no load has been sampled yet"
    APISERVER_SILENT = "the apiserver has not been heard of for more than 10 s"
    REPLICAS_UNKNOWN = "the state of the replicas is unknown (their node is silent)"


@dataclasses.dataclass(frozen=True, slots=True)
class Scaling:
    """The user's fields (cortex.apiserver.v1.Autoscaling) with the defaults of the ancestor."""

    min_replicas: int = 1
    max_replicas: int = 100
    target_in_flight: float = 1.0
    max_replica_concurrency: int = 1024
    window: float = 60.0
    downscale_stabilization_period: float = 300.0
    upscale_stabilization_period: float = 60.0
    max_downscale_factor: float = 0.75
    max_upscale_factor: float = 1.5
    downscale_tolerance: float = 0.05
    upscale_tolerance: float = 0.05

    def clamp(self, replicas: int) -> int:
        return max(self.min_replicas, min(self.max_replicas, replicas))


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why no replica can start. `final`: the rollout was given up, so trying again without a deploy is no use."""

    reason: str
    message: str
    final: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Api:
    """What the apiserver last told of an API. `desired` is the number of replicas wanted now, within the bounds."""

    name: str
    uid: str
    scaling: Scaling
    activation_timeout: float
    desired: int
    ready: int
    routable: int
    failure: Failure | None = None
    replicas_known: bool = True
    deleting: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """One look at an API. `average_in_flight` is the time average over the window, held requests included."""

    current: int
    ready: int
    held: int
    in_flight: int
    average_in_flight: float | None
    blindness: Blindness | None = None


class Step(NamedTuple):
    """One term of the rule: the number it found, the number it left, and what it compared with (bound or seconds)."""

    term: Term
    before: float
    after: float
    against: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas an API should have, with everything needed to explain it (`explain.py` writes the words)."""

    policy: str
    desired: int
    winning: Term
    steps: tuple[Step, ...]
    seen: Observation
    scaling: Scaling

    @property
    def current(self) -> int:
        return self.seen.current

    @property
    def changes(self) -> bool:
        return self.desired != self.seen.current
