"""AutoscalerService: decisions with their reasons, for people and programs."""

from collections.abc import Sequence
from typing import Any

from cortex.autoscaler.v1 import autoscaler_service_pb2 as pb
from cortex.autoscaler.v1 import autoscaler_service_pb2_grpc as pb_grpc
from services.autoscaler import catalog, convert, history, scaler
from services.chassis import errors, names, paging

_PATTERN = "namespaces/{namespace}/apis/{api}"


class AutoscalerServicer(pb_grpc.AutoscalerServiceServicer):
    def __init__(self, core: scaler.Scaler[Any], known: catalog.Catalog) -> None:
        self._scaler = core
        self._catalog = known

    async def GetDecision(self, request: pb.GetDecisionRequest, context: Any) -> pb.Decision:
        records = self._records(request.name)
        return convert.decision(records[0], request.name)

    async def ListDecisions(self, request: pb.ListDecisionsRequest, context: Any) -> pb.ListDecisionsResponse:
        size = paging.clamp(request.page_size)
        before = paging.open_token(request.parent, request.page_token)
        records = [record for record in self._records(request.parent) if before is None or record.first < before]
        page, more = records[:size], len(records) > size
        return pb.ListDecisionsResponse(
            decisions=[convert.decision(record, request.parent) for record in page],
            next_page_token=paging.seal(request.parent, page[-1].first) if more else "",
        )

    def _records(self, api: str) -> Sequence[history.Record]:
        """Newest first, never empty."""
        names.parse(_PATTERN, api)
        kept = self._scaler.decisions(api)
        records = kept.newest_first() if kept is not None else []
        if records:
            return records
        if self._catalog.synced and self._catalog.get(api) is None:
            raise errors.NotFound(f"{api} does not exist", metadata={"name": api})
        raise errors.Unavailable(f"no decision about {api} has been made yet; ask again in a second", retry_after=1.0)
