"""A server answers health, turns our errors into rich status, hides its own bugs, and carries one trace."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from cortex.logstream.v1 import logstream_service_pb2 as pb
from cortex.logstream.v1 import logstream_service_pb2_grpc as pb_grpc
from services.chassis import channels, errors, server, telemetry

OFF = telemetry.Telemetry(None, None)


class Logs(pb_grpc.LogstreamServiceServicer):
    async def TailLogs(self, request: pb.TailLogsRequest, context: Any) -> AsyncIterator[pb.TailLogsResponse]:
        yield pb.TailLogsResponse(resume_token="1")
        if request.grep == "ours":
            raise errors.NotFound("no such log")
        if request.grep == "bug":
            raise RuntimeError("secret inside")
        if request.grep == "wait":
            await asyncio.Event().wait()


@pytest.fixture
async def address() -> AsyncIterator[str]:
    running = server.Server("127.0.0.1:0", OFF)
    running.add(pb_grpc.add_LogstreamServiceServicer_to_server, Logs(), "cortex.logstream.v1.LogstreamService")
    await running.start()
    await running.ready()
    yield f"127.0.0.1:{running.port}"
    await running.drain(0)


async def call(address: str, grep: str) -> grpc.aio.AioRpcError:
    async with channels.connect(address, OFF) as channel:
        stream = pb_grpc.LogstreamServiceStub(channel).TailLogs(pb.TailLogsRequest(grep=grep))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for message in stream:
                assert message.resume_token == "1"
        return caught.value


async def test_our_error_arrives_with_its_details(address: str) -> None:
    error = await call(address, "ours")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None and b"ERROR_REASON_NOT_FOUND" in status.details[0].value


async def test_a_bug_is_hidden_behind_a_request_id(address: str) -> None:
    error = await call(address, "bug")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(error.details()) and "request id" in str(error.details())


class _Raw(grpc.GenericRpcHandler):
    """The four shapes of a method; the requests are TailLogsRequest, the answers what they ask for."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        parse: Any = pb.TailLogsRequest.FromString

        async def one(request: Any, context: Any) -> bytes:
            return str(request.grep).encode()

        async def every(requests: Any, context: Any) -> bytes:
            return b",".join([str(request.grep).encode() async for request in requests])

        async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
            yield str(request.grep).encode()

        async def echo(requests: Any, context: Any) -> AsyncIterator[bytes]:
            async for request in requests:
                yield str(request.grep).encode()

        return {
            "/raw/unary_unary": grpc.unary_unary_rpc_method_handler(one, parse),
            "/raw/stream_unary": grpc.stream_unary_rpc_method_handler(every, parse),
            "/raw/unary_stream": grpc.unary_stream_rpc_method_handler(stream, parse),
            "/raw/stream_stream": grpc.stream_stream_rpc_method_handler(echo, parse),
        }[str(handler_call_details.method)]


@pytest.mark.parametrize("shape", ["unary_unary", "stream_unary", "unary_stream", "stream_stream"])
async def test_a_message_that_does_not_parse_is_the_callers_fault(shape: str) -> None:
    running = server.Server("127.0.0.1:0", OFF)
    running.add_generic([_Raw()])
    await running.start()
    good = pb.TailLogsRequest(grep="x").SerializeToString()
    try:
        async with channels.connect(f"127.0.0.1:{running.port}", OFF) as channel:
            assert await _raw_call(channel, shape, [good]) == b"x"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _raw_call(channel, shape, [good, b"\xff\xff"] if shape.startswith("stream") else [b"\xff\xff"])
    finally:
        await running.drain(0)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None and b"ERROR_REASON_INVALID_FIELD" in status.details[0].value


async def _raw_call(channel: grpc.aio.Channel, shape: str, messages: list[bytes]) -> bytes:
    make: Any = getattr(channel, shape)
    streams = shape.startswith("stream")
    answer = make(f"/raw/{shape}")(iter(messages) if streams else messages[0], timeout=10)
    if shape.endswith("unary"):
        return bytes(await answer)
    return b",".join([bytes(part) async for part in answer])


async def test_health_says_serving(address: str) -> None:
    async with channels.connect(address, OFF) as channel:
        for name in ("", "cortex.logstream.v1.LogstreamService"):
            stub: Any = health_pb2_grpc.HealthStub(channel)
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_dead_task_ends_the_process() -> None:
    async def dies() -> None:
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        await asyncio.wait_for(server.run(server.Server("127.0.0.1:0", OFF), [dies()], grace=0), 10)
