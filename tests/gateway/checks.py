"""The autoscaler's part of an activation: holds each check until it is let go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from services import xds_types

_PACKAGE = "envoy.service.auth.v3"


class Checks:
    """`waiting` is how many requests are held. `allow` and `deny` answer all of them and those to come."""

    def __init__(self) -> None:
        self.waiting = 0
        self.apis: list[str] = []
        self.headers: dict[str, str] = {}
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def allow(self) -> None:
        self._answer.set_result(self._message(status={"code": 0}))

    def deny(self, body: str) -> None:
        denied: dict[str, Any] = {"status": {"code": "ServiceUnavailable"}, "body": body}
        denied["headers"] = [{"header": {"key": "retry-after", "value": "7"}}]
        self._answer.set_result(self._message(status={"code": 14}, denied_response=denied))

    def handler(self) -> grpc.GenericRpcHandler:
        method = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=xds_types.message(f"{_PACKAGE}.CheckRequest").FromString,
            response_serializer=xds_types.serialize,
        )
        return grpc.method_handlers_generic_handler(f"{_PACKAGE}.Authorization", {"Check": method})

    async def _check(self, request: Any, _context: Any) -> Any:
        self.apis.append(request.attributes.context_extensions["api"])
        self.headers = dict(request.attributes.request.http.headers)
        self.waiting += 1
        try:
            return await asyncio.shield(self._answer)
        finally:
            self.waiting -= 1

    def _message(self, **fields: Any) -> Any:
        return xds_types.message(f"{_PACKAGE}.CheckResponse")(**fields)


@contextlib.asynccontextmanager
async def serving(port: int) -> AsyncIterator[Checks]:
    checks = Checks()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((checks.handler(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield checks
    finally:
        await server.stop(None)
