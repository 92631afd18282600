"""What can go wrong, broad to catch and narrow to recover.

CortexError
├── Invalid             INVALID_ARGUMENT, OUT_OF_RANGE          a value is wrong; `violations` say which
├── NotFound            NOT_FOUND                               no such API, revision or bundle
├── Conflict            ABORTED, ALREADY_EXISTS                 somebody else changed it, or the name is taken
├── Precondition        FAILED_PRECONDITION                     the system is not in the state the call needs
├── AccessDenied        UNAUTHENTICATED, PERMISSION_DENIED      you may not
├── LimitReached        RESOURCE_EXHAUSTED                      a quota or size limit
├── Unavailable         UNAVAILABLE                             nobody answers; try again after `retry_after`
├── DeadlineExceeded    DEADLINE_EXCEEDED                       out of time
├── Unsupported         UNIMPLEMENTED                           this server cannot do that
├── Internal            any other code                          a bug in Cortex
├── EnvironmentInvalid  -                                       no such environment, or `cortex up` was not run
├── RolloutFailed       -                                       the new revision never became ready
└── PredictionFailed    -                                       the API answered with an error status
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc

    from cortex_client import tracing


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """A field (dotted path) and what was expected of it."""

    field: str
    description: str


class CortexError(Exception):
    """`reason` names a value of cortex.type.v1.ErrorReason without its prefix; `hint` says what to do next.

    `cortex logs API --trace` finds the lines that were written for `trace_id`.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        request_id: str = "",
        trace_id: str = "",
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.request_id = request_id
        self.trace_id = trace_id
        self.retry_after = retry_after
        self.hint = hint


class Invalid(CortexError):
    pass


class NotFound(CortexError):
    pass


class Conflict(CortexError):
    pass


class Precondition(CortexError):
    pass


class AccessDenied(CortexError):
    pass


class LimitReached(CortexError):
    pass


class Unavailable(CortexError):
    pass


class DeadlineExceeded(CortexError):
    pass


class Unsupported(CortexError):
    pass


class Internal(CortexError):
    pass


class EnvironmentInvalid(CortexError):
    pass


class RolloutFailed(CortexError):
    """`message` holds the user's traceback where there is one; `serving_revision` (id, or "") still answers."""

    def __init__(self, message: str, *, reason: str, api: str, revision: str, serving_revision: str) -> None:
        super().__init__(message, reason=reason)
        self.api = api
        self.revision = revision
        self.serving_revision = serving_revision


class PredictionFailed(CortexError):
    """`status` is the HTTP status (or the gRPC code's name), `body` what came with it."""

    def __init__(
        self, message: str, *, status: int | str, body: bytes = b"", request_id: str = "", trace_id: str = ""
    ) -> None:
        super().__init__(message, request_id=request_id, trace_id=trace_id)
        self.status = status
        self.body = body


_BY_CODE: dict[str, type[CortexError]] = {
    "INVALID_ARGUMENT": Invalid,
    "OUT_OF_RANGE": Invalid,
    "NOT_FOUND": NotFound,
    "ABORTED": Conflict,
    "ALREADY_EXISTS": Conflict,
    "FAILED_PRECONDITION": Precondition,
    "UNAUTHENTICATED": AccessDenied,
    "PERMISSION_DENIED": AccessDenied,
    "RESOURCE_EXHAUSTED": LimitReached,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": Unsupported,
}


def from_rpc(error: "grpc.RpcError", label: "tracing.Label | None" = None) -> CortexError:
    """The one place where a gRPC error becomes ours."""
    call: Any = error
    code = call.code().name if callable(getattr(call, "code", None)) and call.code() else "UNKNOWN"
    text = call.details() if callable(getattr(call, "details", None)) else str(error)
    details = _details(call)
    if label is not None:
        details.update(request_id=label.request_id, trace_id=label.trace.trace_id)
    return _BY_CODE.get(code, Internal)(text or code, **details)


def _details(call: Any) -> dict[str, Any]:
    """Reason, metadata, violations and retry delay of a google.rpc.Status in the trailing metadata."""
    trailing = dict(call.trailing_metadata() or ()) if callable(getattr(call, "trailing_metadata", None)) else {}
    packed = trailing.get("grpc-status-details-bin")
    if not isinstance(packed, bytes):
        return {}
    from google.protobuf import message
    from google.rpc import error_details_pb2, status_pb2

    found: dict[str, Any] = {}
    try:
        for any_detail in status_pb2.Status.FromString(packed).details:
            for kind, read in _READERS.items():
                detail = getattr(error_details_pb2, kind)()
                if any_detail.Is(detail.DESCRIPTOR) and any_detail.Unpack(detail):
                    found.update(read(detail))
    except message.DecodeError:
        return {}
    return found


_READERS: dict[str, Any] = {
    "ErrorInfo": lambda d: {"reason": d.reason.removeprefix("ERROR_REASON_"), "metadata": dict(d.metadata)},
    "BadRequest": lambda d: {"violations": [Violation(v.field, v.description) for v in d.field_violations]},
    "RetryInfo": lambda d: {"retry_after": d.retry_delay.ToNanoseconds() / 1e9},
}
