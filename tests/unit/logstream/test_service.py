"""TailLogs over a real server: order, following, resuming, limits, and an apiserver that is there, away or says no."""

import asyncio
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import json_format

from cortex.apiserver.v1 import api_pb2, api_service_pb2, api_service_pb2_grpc
from cortex.logstream.v1 import logstream_service_pb2 as pb
from cortex.logstream.v1 import logstream_service_pb2_grpc
from services.chassis import channels, clock, server, telemetry
from services.logstream import apiserver, files, servicer, tail
from tests.fakes import replica_logs

if TYPE_CHECKING:
    # The stubs of grpc know an asynchronous stub, the generated module has one class for both.
    from cortex.logstream.v1.logstream_service_pb2_grpc import LogstreamServiceAsyncStub as Stub

API = "namespaces/default/apis/iris"
QUIET = telemetry.Telemetry(None, None)
Start = Callable[[str], Awaitable["Stub"]]


class Apis(api_service_pb2_grpc.ApiServiceServicer):
    """An apiserver that knows one API."""

    async def GetApi(
        self, request: api_service_pb2.GetApiRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> api_pb2.Api:
        if request.name != "namespaces/default/apis/new":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such API")
        api = api_pb2.Api(name=request.name)
        api.create_time.FromNanoseconds(replica_logs.BEGIN_NS + 100_000_000_000)
        return api


@pytest.fixture
async def logstream(tmp_path: pathlib.Path) -> AsyncIterator[Start]:
    """Starts logstream against the apiserver at an address; gives a stub."""
    started: list[server.Server] = []
    channels_open: list[grpc.aio.Channel] = []
    pool = tail.system_pool(2)

    async def start(address: str) -> "Stub":
        source = files.FileSource(tmp_path / "logs" / "replicas", slack_ns=100_000_000, backlog_bytes=1 << 20)
        directory = channels.connect(address, QUIET)
        handler = servicer.LogstreamServicer(
            source, apiserver.ApiserverDirectory(directory), most_streams=2, window_ns=100_000_000, pool=pool,
            time_source=clock.SystemClock(),
        )  # fmt: skip
        one = server.Server("127.0.0.1:0", QUIET)
        one.add(logstream_service_pb2_grpc.add_LogstreamServiceServicer_to_server, handler, "cortex.logstream.v1")
        await one.start()
        started.append(one)
        channel = channels.connect(f"127.0.0.1:{one.port}", QUIET)
        channels_open.extend([channel, directory])
        return logstream_service_pb2_grpc.LogstreamServiceStub(channel)

    yield start
    for channel in channels_open:
        await channel.close()
    for one in started:
        await one.drain(0.1)
    pool.shutdown()


@pytest.fixture
async def apis() -> AsyncIterator[str]:
    one = server.Server("127.0.0.1:0", QUIET)
    one.add(
        api_service_pb2_grpc.add_ApiServiceServicer_to_server,
        Apis(),  # type: ignore[abstract]  # the rest is not called
        "cortex.apiserver.v1.ApiService",
    )
    await one.start()
    yield f"127.0.0.1:{one.port}"
    await one.drain(0.1)


async def collect(stub: "Stub", *, until: int = 0, **fields: object) -> tuple[list[str], str]:
    """Messages and the last token. With `until`, reads a stream that follows until it has that many."""
    found: list[str] = []
    token = ""
    call = stub.TailLogs(pb.TailLogsRequest(api=API, **fields), timeout=10)  # type: ignore[arg-type]
    async for response in call:
        found += [entry.message for entry in response.entries]
        found += [f"LOSS {response.dropped.lines}"] if response.HasField("dropped") else []
        token = response.resume_token
        if until and len(found) >= until:
            call.cancel()
            break
    return found, token


async def messages(call: "grpc.aio.UnaryStreamCall[pb.TailLogsRequest, pb.TailLogsResponse]") -> list[str]:
    """Of the next response."""
    response = await call.read()
    assert isinstance(response, pb.TailLogsResponse)
    return [entry.message for entry in response.entries]


async def test_lines_of_replicas_come_in_order_and_resume(logstream: Start, tmp_path: pathlib.Path) -> None:
    stub = await logstream("127.0.0.1:1")
    logs = [replica_logs.ReplicaLog(tmp_path, f"iris-r1-aaaa{n}") for n in range(3)]
    for n in range(900):
        logs[n % 3].write(f"line {n}", at=n * 0.01)
    found, token = await collect(stub, until=500, follow=True)
    assert found == [f"line {n}" for n in range(len(found))]
    logs[0].write("last", at=10)
    rest, _ = await collect(stub, resume_token=token)
    assert found + rest == [*(f"line {n}" for n in range(900)), "last"]


async def test_fields_reach_the_caller(logstream: Start, tmp_path: pathlib.Path) -> None:
    stub = await logstream("127.0.0.1:1")
    log = replica_logs.ReplicaLog(tmp_path, "iris-r1-aaaaa")
    log.write("hello", at=1.5, level="error", trace_id="ab12", request_id="r", user={"id": 7})
    responses = [one async for one in stub.TailLogs(pb.TailLogsRequest(api=API), timeout=10)]
    [entry] = responses[0].entries
    assert entry.time.ToNanoseconds() == replica_logs.BEGIN_NS + 1_500_000_000
    assert (entry.level, entry.replica, entry.revision) == ("error", "iris-r1-aaaaa", "r1-aaaa")
    assert json_format.MessageToDict(entry.fields) == {"user": {"id": 7.0}}


async def test_lines_written_meanwhile_are_sorted_by_time(logstream: Start, tmp_path: pathlib.Path) -> None:
    stub = await logstream("127.0.0.1:1")
    one, two = (replica_logs.ReplicaLog(tmp_path, f"iris-r1-aaaa{n}") for n in range(2))
    one.write("old", at=0)
    call = stub.TailLogs(pb.TailLogsRequest(api=API, follow=True), timeout=10)
    assert await messages(call) == ["old"]
    # Far ahead of our clock, so only the window of arrival orders them, as with fresh lines.
    one.write_time("later", "2099-01-01T00:00:01.000000Z")
    two.write_time("earlier", "2099-01-01T00:00:00.000000Z")
    found: list[str] = []
    while len(found) < 2:
        found += await messages(call)
    assert found == ["earlier", "later"]
    call.cancel()


async def test_an_unknown_api_is_not_found_only_when_the_apiserver_says_so(logstream: Start, apis: str) -> None:
    stub = await logstream(apis)
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await stub.TailLogs(pb.TailLogsRequest(api="namespaces/default/apis/nope"), timeout=10).read()
    assert told.value.code() is grpc.StatusCode.NOT_FOUND
    async for one in stub.TailLogs(pb.TailLogsRequest(api="namespaces/default/apis/new"), timeout=10):
        assert not one.entries
    away = await logstream("127.0.0.1:1")
    async for one in away.TailLogs(pb.TailLogsRequest(api="namespaces/default/apis/nope"), timeout=10):
        assert not one.entries


async def test_a_deleted_api_leaves_its_logs_but_not_to_its_namesake(
    logstream: Start, apis: str, tmp_path: pathlib.Path
) -> None:
    for api, replica, began in (("new", "new-r1-old00", 0), ("new", "new-r1-new00", 101), ("gone", "gone-r1-old00", 0)):
        log = replica_logs.ReplicaLog(tmp_path, replica, api=api)
        log.write(f"{replica} begins", at=began)
        # The old one may drain for long after its namesake was made.
        log.write(f"{replica} ends", at=110)
    stub = await logstream(apis)

    async def lines(name: str, to: "Stub") -> list[str]:
        request = pb.TailLogsRequest(api=f"namespaces/default/apis/{name}")
        return [entry.message async for one in to.TailLogs(request, timeout=10) for entry in one.entries]

    assert await lines("new", stub) == ["new-r1-new00 begins", "new-r1-new00 ends"]
    assert await lines("gone", stub) == ["gone-r1-old00 begins", "gone-r1-old00 ends"]
    assert len(await lines("new", await logstream("127.0.0.1:1"))) == 4


async def test_a_follower_may_come_before_the_first_line(logstream: Start, tmp_path: pathlib.Path) -> None:
    stub = await logstream("127.0.0.1:1")
    waiting = asyncio.ensure_future(collect(stub, until=1, follow=True))
    replica_logs.ReplicaLog(tmp_path, "iris-r1-aaaaa").write("first", at=0)
    assert (await waiting)[0] == ["first"]


@pytest.mark.parametrize(
    "fields",
    [
        {"api": "namespaces/../apis/x"}, {"api": "namespaces/Default/apis/iris"}, {"api": "iris"}, {"api": ""},
        {"tail_lines": -1}, {"tail_lines": 100_001}, {"min_level": "loud"}, {"grep": "("}, {"grep": "a" * 2000},
        {"trace_id": "no hex"}, {"resume_token": "x"}, {"replicas": ["a"] * 1001},
    ],
)  # fmt: skip
async def test_wrong_requests_are_refused(logstream: Start, fields: dict[str, object]) -> None:
    stub = await logstream("127.0.0.1:1")
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await stub.TailLogs(pb.TailLogsRequest(**({"api": API} | fields)), timeout=10).read()  # type: ignore[arg-type]
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_one_stream_too_many_is_told_to_come_back(logstream: Start, tmp_path: pathlib.Path) -> None:
    stub = await logstream("127.0.0.1:1")
    log = replica_logs.ReplicaLog(tmp_path, "iris-r1-aaaaa")
    log.write("one", at=0)
    calls = [stub.TailLogs(pb.TailLogsRequest(api=API, follow=True), timeout=10) for _ in range(2)]
    for call in calls:
        await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await collect(stub)
    assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    calls[0].cancel()
    async with asyncio.timeout(5):
        while True:
            try:
                assert (await collect(stub))[0] == ["one"]
                break
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    calls[1].cancel()
