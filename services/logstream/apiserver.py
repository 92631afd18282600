"""Asks the apiserver since when an API exists. When it does not answer, nobody knows, and all logs are shown."""

import grpc
import structlog

from cortex.apiserver.v1 import api_service_pb2, api_service_pb2_grpc

_log = structlog.get_logger("apiserver")
_TIMEOUT_SECONDS = 1.0


class ApiserverDirectory:
    """Satisfies `ports.ApiDirectory`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = api_service_pb2_grpc.ApiServiceStub(channel)

    async def create_time_ns(self, name: str) -> int | None:
        try:
            api = await self._stub.GetApi(api_service_pb2.GetApiRequest(name=name), timeout=_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            _log.warning("cannot tell since when the API exists", api=name, code=error.code().name)
            return 0
        return api.create_time.ToNanoseconds()
