"""GatewayService: where each gateway stands."""

from collections.abc import Callable, Sequence
from typing import Any

from cortex.apiserver.v1 import gateway_service_pb2 as pb
from cortex.apiserver.v1 import gateway_service_pb2_grpc as pb_grpc
from services.apiserver import convert_status
from services.chassis import paging, server

SERVICE = "cortex.apiserver.v1.GatewayService"


class GatewayServicer(pb_grpc.GatewayServiceServicer):
    """`statuses` gives a `xds.status.GatewayStatus` for every gateway connected now or lately."""

    def __init__(self, statuses: Callable[[], Sequence[Any]]) -> None:
        self._statuses = statuses

    async def ListGateways(self, request: pb.ListGatewaysRequest, context: Any) -> pb.ListGatewaysResponse:
        size = paging.clamp(request.page_size)
        after = paging.open_token("gateways", request.page_token) or ""
        found = [gateway for gateway in convert_status.gateways_to_pb(self._statuses()) if gateway.name > after]
        token = paging.seal("gateways", found[size - 1].name) if len(found) > size else ""
        return pb.ListGatewaysResponse(gateways=found[:size], next_page_token=token)


def add(doors: server.Server, servicer: GatewayServicer) -> None:
    doors.add(pb_grpc.add_GatewayServiceServicer_to_server, servicer, SERVICE)
