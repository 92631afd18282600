"""Every error becomes a google.rpc.Status that a client in any language can read."""

import grpc
import pytest
from google.rpc import error_details_pb2

from cortex.type.v1 import error_reason_pb2
from services.chassis import errors

KINDS = [
    (errors.InvalidArgument, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (errors.Aborted, grpc.StatusCode.ABORTED),
    (errors.FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ResourceExhausted, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.Unimplemented, grpc.StatusCode.UNIMPLEMENTED),
    (errors.Internal, grpc.StatusCode.INTERNAL),
]


@pytest.mark.parametrize(("kind", "code"), KINDS)
def test_each_kind_has_its_code_and_a_reason_of_the_contract(
    kind: type[errors.CortexError], code: grpc.StatusCode
) -> None:
    status = errors.to_status(kind("what happened"))
    info = error_details_pb2.ErrorInfo()
    assert status.code == code.value[0]
    assert status.message == "what happened"
    assert status.details[0].Unpack(info)
    assert info.domain == "cortex.dev"
    assert info.reason in list(error_reason_pb2.ErrorReason.keys())


def test_violations_and_retry_delay_are_details_of_their_own() -> None:
    error = errors.InvalidArgument("no", violations=[errors.Violation("a.b", "must be > 0")], retry_after=1.5)
    _, bad, retry = errors.to_status(error).details
    request, info = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    assert bad.Unpack(request) and request.field_violations[0].field == "a.b"
    assert retry.Unpack(info) and info.retry_delay.ToMilliseconds() == 1500


def test_metadata_travels() -> None:
    status = errors.to_status(errors.FailedPrecondition("x", reason="BUNDLE_MISSING", metadata={"digest": "d"}))
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    assert (info.reason, info.metadata["digest"]) == ("ERROR_REASON_BUNDLE_MISSING", "d")
