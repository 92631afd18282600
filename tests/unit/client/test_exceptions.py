"""gRPC errors become ours with all they carry."""

from typing import Any

import grpc
import pytest

from cortex_client import exceptions, tracing
from tests.fakes import control_plane


class Failed(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, trailing: tuple[tuple[str, Any], ...] = ()) -> None:
        self._code, self._trailing = code, trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "what happened"

    def trailing_metadata(self) -> Any:
        return self._trailing


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, exceptions.Invalid),
        (grpc.StatusCode.NOT_FOUND, exceptions.NotFound),
        (grpc.StatusCode.ABORTED, exceptions.Conflict),
        (grpc.StatusCode.ALREADY_EXISTS, exceptions.Conflict),
        (grpc.StatusCode.FAILED_PRECONDITION, exceptions.Precondition),
        (grpc.StatusCode.UNAUTHENTICATED, exceptions.AccessDenied),
        (grpc.StatusCode.PERMISSION_DENIED, exceptions.AccessDenied),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, exceptions.LimitReached),
        (grpc.StatusCode.UNAVAILABLE, exceptions.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, exceptions.DeadlineExceeded),
        (grpc.StatusCode.UNIMPLEMENTED, exceptions.Unsupported),
        (grpc.StatusCode.UNKNOWN, exceptions.Internal),
        (grpc.StatusCode.DATA_LOSS, exceptions.Internal),
    ],
)
def test_each_code_has_its_kind(code: grpc.StatusCode, kind: type[exceptions.CortexError]) -> None:
    found = exceptions.from_rpc(Failed(code), tracing.Label("r-1", tracing.Trace("ab" * 16, "cd" * 8)))
    assert type(found) is kind
    assert (found.message, found.request_id, found.trace_id) == ("what happened", "r-1", "ab" * 16)


def test_details_are_kept() -> None:
    status = control_plane.status_of(
        grpc.StatusCode.INVALID_ARGUMENT, "bad", reason="INVALID_FIELD", violations={"compute.cpu": "too low"}, name="x"
    )
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    found = exceptions.from_rpc(Failed(grpc.StatusCode.INVALID_ARGUMENT, trailing))
    assert (found.reason, found.metadata) == ("INVALID_FIELD", {"name": "x"})
    assert found.violations == (exceptions.Violation("compute.cpu", "too low"),)


def test_details_that_do_not_parse_are_left_out() -> None:
    trailing = (("grpc-status-details-bin", b"\xff\xff\xff"),)
    found = exceptions.from_rpc(Failed(grpc.StatusCode.NOT_FOUND, trailing))
    assert (type(found), found.reason) == (exceptions.NotFound, "")
