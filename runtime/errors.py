"""The failures the front answers itself: HTTP status, gRPC code and reason of each, in one table."""

from typing import NamedTuple

import runtime.http_messages as messages


class Failure(NamedTuple):
    """`reason` names a value of cortex.type.v1.ErrorReason without its prefix."""

    status: int
    reason: str
    text: str
    retry_after: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False  # the connection is of no further use

    def body(self, request_id: str) -> bytes:
        return messages.error_body(self.text, request_id)


QUEUE_FULL = Failure(503, "QUEUE_FULL", "the replica's queue is full; try again later", retry_after=1)
NOT_READY = Failure(
    503,
    "DEPENDENCY_UNAVAILABLE",
    "the replica is not ready yet; try again later",
    retry_after=1,
    headers=(("x-cortex-retry", "not-ready"),),
)
BODIES_FULL = Failure(
    503,
    "QUEUE_FULL",
    "the replica holds as many request bytes as it may; try again later",
    retry_after=1,
    close=True,
)
WORKER_DIED = Failure(
    503,
    "WORKER_DIED",
    "the worker process that held this request died; it is being restarted",
    retry_after=1,
    headers=(("x-cortex-retry", "worker-died"),),
)
# Without the mark by which the gateway tries again.
WORKERS_DIED = Failure(
    503,
    "WORKER_DIED",
    "several worker processes in a row died of this request, so it is not repeated; see the log of the API",
    retry_after=10,
)
NO_PREDICTOR = Failure(
    404,
    "NOT_FOUND",
    "this API is a model repository and has no predictor; its models are under /v2 (Open Inference Protocol), such as "
    "/v2/models/NAME/infer; /v2/repository/index lists them to admins",
)
DEADLINE = Failure(504, "DEADLINE_EXCEEDED", "the request took longer than it may")
STOPPED = Failure(503, "DRAINING", "the replica stopped before the request was done", retry_after=1)
INTERNAL = Failure(500, "INTERNAL", "internal server error")
DEFECT = INTERNAL._replace(close=True)  # of ours, behind which the connection is in no state to go on
BROKEN_STREAM = Failure(500, "PREDICTOR_FAILED", "the predictor failed in the middle of its answer")
NOT_FOUND = Failure(404, "NOT_FOUND", "no such path; the predictor answers at the API's endpoint itself")
TOO_LARGE = Failure(413, "PAYLOAD_TOO_LARGE", "the request body is larger than max_request_bytes", close=True)
HEAD_TOO_LARGE = Failure(431, "INVALID_FIELD", "the request line and headers are larger than 64 KiB", close=True)
MALFORMED = Failure(400, "PAYLOAD_MALFORMED", "this is not a valid HTTP request", close=True)
NO_MESSAGE = Failure(400, "PAYLOAD_MALFORMED", "the bytes of the request are no PredictRequest")
TIMED_OUT = Failure(408, "DEADLINE_EXCEEDED", "the request did not arrive in time", close=True)
EXPECTATION = Failure(417, "INVALID_FIELD", "the only expectation that can be met is 100-continue", close=True)
BAD_TIMEOUT = Failure(400, "INVALID_FIELD", "x-request-timeout-ms must be a positive number of milliseconds")
BAD_PRIORITY = Failure(400, "INVALID_FIELD", "x-request-priority must be a digit from 1 (first) to 9 (last)")


def method_not_allowed(allowed: str) -> Failure:
    return Failure(405, "NOT_IMPLEMENTED", "the predictor does not handle this method", headers=(("allow", allowed),))


def unloaded(model: str) -> Failure:
    text = f"model {model!r} is unloaded; an admin loads it again with POST /v2/repository/models/{model}/load"
    return Failure(503, "DEPENDENCY_UNAVAILABLE", text, retry_after=10)


def not_served(model: str, reason: str) -> Failure:
    return Failure(503, "DEPENDENCY_UNAVAILABLE", f"model {model!r} cannot be served: {reason}", retry_after=10)


def encoded(encoding: bytes) -> Failure:
    shown = encoding[:40].decode("latin-1")
    text = f"the request body has content-encoding {shown!r}, which is not understood; send it as it is"
    return Failure(415, "INVALID_FIELD", text)


class InferError(Exception):
    """`status` is the HTTP status to answer with; `reason` an ErrorReason without its prefix."""

    def __init__(
        self,
        status: int,
        text: str,
        reason: str = "INVALID_FIELD",
        retry_after: int = 0,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.headers = headers

    @classmethod
    def of(cls, failure: Failure) -> "InferError":
        """To raise what the table has; `failure` leads back."""
        return cls(failure.status, failure.text, failure.reason, failure.retry_after, failure.headers)

    @property
    def failure(self) -> Failure:
        """What the caller is told."""
        return Failure(self.status, self.reason, str(self), self.retry_after, self.headers)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """So that it can be raised in one process and caught in another (scribe.py)."""
        return InferError, (self.status, str(self), self.reason, self.retry_after, self.headers)
