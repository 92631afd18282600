"""The tree of errors that cross a service boundary, and the one place that turns them into google.rpc.Status.

CortexError
├── InvalidArgument     a value is wrong; `violations` say which field
├── NotFound            no such resource
├── AlreadyExists       the name, endpoint or request id is taken
├── Aborted             somebody else changed the resource meanwhile
├── FailedPrecondition  the system is not in the state the call needs
├── ResourceExhausted   a limit is reached
├── Unavailable         try again after `retry_after` seconds
├── DeadlineExceeded    out of time
├── Unimplemented       declared, not built yet
└── Internal            our bug
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "cortex.dev"


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """A field (dotted path) and what was expected of it."""

    field: str
    description: str


class CortexError(Exception):
    """`reason` names a value of cortex.type.v1.ErrorReason without its prefix; `message` says what to do next."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after


class InvalidArgument(CortexError):
    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_FIELD"


class NotFound(CortexError):
    code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExists(CortexError):
    code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class Aborted(CortexError):
    code = grpc.StatusCode.ABORTED
    default_reason = "ETAG_MISMATCH"


class FailedPrecondition(CortexError):
    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "UNSPECIFIED"


class ResourceExhausted(CortexError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "TOO_MANY_STREAMS"


class Unavailable(CortexError):
    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "DEPENDENCY_UNAVAILABLE"


class DeadlineExceeded(CortexError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class Unimplemented(CortexError):
    code = grpc.StatusCode.UNIMPLEMENTED
    default_reason = "NOT_IMPLEMENTED"


class Internal(CortexError):
    pass


def to_status(error: CortexError) -> status_pb2.Status:
    """The wire form: canonical code, text for people, ErrorInfo always, further details where they say more."""
    details = [
        error_details_pb2.ErrorInfo(reason=f"ERROR_REASON_{error.reason}", domain=DOMAIN, metadata=error.metadata)
    ]
    status = status_pb2.Status(code=getattr(code_pb2, error.code.name), message=error.message)
    packed = [_pack(detail) for detail in details]
    if error.violations:
        packed.append(_pack(_violations(error)))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        packed.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    status.details.extend(packed)
    return status


def _violations(error: CortexError) -> object:
    """A limit that is reached is a QuotaFailure, anything else a BadRequest."""
    if isinstance(error, ResourceExhausted):
        quota = error_details_pb2.QuotaFailure
        return quota(violations=[quota.Violation(subject=v.field, description=v.description) for v in error.violations])
    bad = error_details_pb2.BadRequest
    fields = [bad.FieldViolation(field=v.field, description=v.description) for v in error.violations]
    return bad(field_violations=fields)


def _pack(message: object) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)  # type: ignore[arg-type]  # every caller passes a protobuf message
    return packed
