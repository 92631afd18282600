"""TailLogs, as thin as it can be: checks, then a tail."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from concurrent import futures
from typing import Any

import grpc

from cortex.logstream.v1 import logstream_service_pb2 as pb
from cortex.logstream.v1 import logstream_service_pb2_grpc
from services.chassis import clock, errors
from services.logstream import convert, model, ports, tail, tokens


class LogstreamServicer(logstream_service_pb2_grpc.LogstreamServiceServicer):
    """`most_streams` bounds files, memory and time spent: the next caller is told to come back."""

    def __init__(
        self, source: ports.LogSource, directory: ports.ApiDirectory, *, most_streams: int, window_ns: int,
        pool: futures.Executor, time_source: clock.Clock,
    ) -> None:  # fmt: skip
        self._source = source
        self._directory = directory
        self._most_streams = most_streams
        self._window_ns = window_ns
        self._pool = pool
        self._clock = time_source
        self._streams = 0

    async def TailLogs(
        self, request: pb.TailLogsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.TailLogsResponse]:
        query = convert.query(request)
        position = tokens.open_token(query.identity(), request.resume_token)
        if self._streams >= self._most_streams:
            raise errors.ResourceExhausted(
                f"{self._streams} logs are being tailed, which is the most; end one or try again", retry_after=5.0
            )
        self._streams += 1
        try:
            async for batch in self._tail(await self._with_birth(query, request.api), position):
                yield convert.response(batch)
        finally:
            self._streams -= 1

    async def _with_birth(self, query: model.Query, name: str) -> model.Query:
        """A deleted API still has its logs, until another one takes its name; one that is new has none yet."""
        born = await self._directory.create_time_ns(name)
        if born is not None:
            return dataclasses.replace(query, born_ns=born)
        if not self._source.has_api(query.namespace, query.api):
            raise errors.NotFound(f"no API {name!r}, and no logs of one", metadata={"name": name})
        return query

    async def _tail(self, query: model.Query, position: Any) -> AsyncIterator[model.Batch]:
        opening = self._pool.submit(self._source.open, query, position)
        try:
            reader = await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_late)
            raise
        try:
            one = tail.Tail(
                reader, follow=query.follow, window_ns=self._window_ns, pool=self._pool, time_source=self._clock,
                seal=lambda place: tokens.seal(query.identity(), place),
            )  # fmt: skip
            async for batch in one.batches():
                yield batch
        finally:
            self._pool.submit(reader.close)  # a read may still be running there; close waits for it


def _close_late(opening: "futures.Future[ports.LogReader]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
