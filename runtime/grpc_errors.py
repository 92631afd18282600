"""HTTP statuses as gRPC codes, with the ErrorInfo that every Cortex error carries."""

import json
from typing import Any, NoReturn

from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from runtime import errors

_DOMAIN = "cortex.dev"
_CODES = {
    400: code_pb2.INVALID_ARGUMENT, 401: code_pb2.UNAUTHENTICATED, 403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND, 405: code_pb2.UNIMPLEMENTED, 408: code_pb2.DEADLINE_EXCEEDED, 409: code_pb2.ABORTED,
    412: code_pb2.FAILED_PRECONDITION, 413: code_pb2.RESOURCE_EXHAUSTED, 422: code_pb2.INVALID_ARGUMENT,
    429: code_pb2.RESOURCE_EXHAUSTED, 499: code_pb2.CANCELLED, 501: code_pb2.UNIMPLEMENTED,
    502: code_pb2.UNAVAILABLE, 503: code_pb2.UNAVAILABLE, 504: code_pb2.DEADLINE_EXCEEDED,
}  # fmt: skip


def to_status(failure: errors.Failure, request_id: str) -> status_pb2.Status:
    default = code_pb2.INTERNAL if failure.status >= 500 else code_pb2.FAILED_PRECONDITION
    metadata = {"request_id": request_id, "http_status": str(failure.status)}
    details: list[message.Message] = [
        error_details_pb2.ErrorInfo(reason=f"ERROR_REASON_{failure.reason}", domain=_DOMAIN, metadata=metadata)
    ]
    if failure.retry_after:
        delay = duration_pb2.Duration(seconds=failure.retry_after)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=_CODES.get(failure.status, default), message=failure.text)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


async def abort(context: Any, failure: errors.Failure, request_id: str) -> NoReturn:
    """Ends an RPC with what the HTTP door would have said."""
    status: status_pb2.Status = to_status(failure, request_id)
    ended = rpc_status.to_status(status)
    trailers = (*ended.trailing_metadata, ("x-request-id", request_id), *failure.headers)
    await context.abort(ended.code, ended.details, trailers)
    raise AssertionError("abort always raises")


def text(body: bytes, content_type: str) -> str:
    """What an error body says, for the status message."""
    if content_type.startswith("application/json"):
        try:
            told = json.loads(body)
            said = str(told["error"] if isinstance(told, dict) and "error" in told else told)[:1000]
            # JSON can name half of a surrogate pair, which no status message can carry.
            return said.encode("utf-8", "replace").decode()
        except (ValueError, RecursionError):
            pass
    return body[:1000].decode("utf-8", "replace")
