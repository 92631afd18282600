"""Which request reaches which replica, and what the gateway answers when it answers by itself."""

import asyncio
import dataclasses
import json
from collections import Counter

import grpc
import pytest

from services.apiserver import model
from tests.gateway import replicas
from tests.gateway import rig as rigs


async def test_the_replica_sees_the_path_below_the_endpoint(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:
        await rig.publish(_route("text", replica))
        seen = {
            path: json.loads((await rig.ask(path)).body)["path"]
            for path in ("/text", "/text?q=1", "/text/", "/text/v2/x?q=1")
        }
        assert seen == {"/text": "/", "/text?q=1": "/?q=1", "/text/": "/", "/text/v2/x?q=1": "/v2/x?q=1"}


async def test_the_longest_endpoint_wins(rig: rigs.Rig) -> None:
    async with replicas.started(2) as [outer, inner]:
        below = dataclasses.replace(_route("below", inner), endpoint="/text/inner")
        await rig.publish(_route("text", outer), below)
        names = [json.loads((await rig.ask(path)).body)["replica"] for path in ("/text/inner/x", "/text/innermost")]
        assert names == [inner.name, outer.name]


@pytest.mark.parametrize("path", ["/", "/nothing", "/texts", "/tex"])
async def test_an_unknown_path_is_a_404_that_helps(rig: rigs.Rig, path: str) -> None:
    async with replicas.started() as [replica]:
        await rig.publish(_route("text", replica))
        response = await rig.ask(path, x_request_id="mine")
        assert response.status == 404
        assert response.headers["content-type"] == "application/json"
        answer = json.loads(response.body)
        assert "cortex get" in answer["error"] and answer["request_id"] == "mine"


@pytest.mark.parametrize(
    ("request_line", "headers", "status", "words"),
    [
        ("GET /text HTTP/1.1", "", 400, "needs a Host header"),
        ("GET /text HTTP/1.1", "host: h\r\ncontent-length: x\r\n", 400, "not a valid HTTP request"),
        ("GET /text HTTP/1.1", f"host: h\r\nx: {'x' * 70_000}\r\n", 431, "headers are too large"),
        ("GET /text HTTP/1.1", "host: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n", 403, "text/event-stream"),
        ("OPTIONS * HTTP/1.1", "host: h\r\n", 404, "cortex get"),
        ("CONNECT h:80 HTTP/1.1", "host: h\r\n", 404, "cortex get"),
    ],
    ids=["host", "length", "large", "upgrade", "asterisk", "connect"],
)
async def test_what_never_reaches_a_replica_is_told_why(
    rig: rigs.Rig, request_line: str, headers: str, status: int, words: str
) -> None:
    async with replicas.started() as [replica]:
        await rig.publish(_route("text", replica))
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.data_port)
        writer.write(f"{request_line}\r\n{headers}\r\n".encode())
        async with asyncio.timeout(rigs.WAIT_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:"))
            told = json.loads(await reader.readexactly(size))
        writer.close()
        assert int(head.split()[1]) == status and "content-type: application/json" in head
        assert words in told["error"]


async def test_weights_split_the_traffic_and_zero_gets_none(rig: rigs.Rig) -> None:
    async with replicas.started(3) as [old, new, unused]:
        weights = {"r1": (80, [old.endpoint]), "r2": (20, [new.endpoint]), "r3": (0, [unused.endpoint])}
        await rig.publish(rigs.route("text", weights))
        served: Counter[str] = Counter()
        for _ in range(500):
            served[json.loads((await rig.ask("/text")).body)["replica"]] += 1
        # Five standard deviations of a binomial with n=500, p=0.2.
        assert abs(served[new.name] - 100) < 45 and served[unused.name] == 0


@pytest.mark.parametrize("method", [rigs.BRIDGED, rigs.WHOLE])
async def test_grpc_is_routed_by_header(rig: rigs.Rig, method: str) -> None:
    async with replicas.started(2, with_grpc=True) as [first, second]:
        await rig.publish(_route("one", first), _route("two", second))
        for name in ("two", "default/two", "namespaces/default/apis/two"):
            answer = await rigs.grpc_call(rig, b"x", [("cortex-api", name)], method)
            assert answer == f"{second.name}:x".encode()


async def test_a_service_of_a_users_own_is_routed_by_its_path_unless_an_api_is_named(rig: rigs.Rig) -> None:
    path = "/shop.v1.Texts/Count"
    async with replicas.started(2, with_grpc=True) as [own, other]:
        named = dataclasses.replace(_route("own", own), endpoint="/shop.v1.Texts")
        await rig.publish(named, _route("other", other))
        for metadata, replica in (([], own), ([("cortex-api", "own")], own), ([("cortex-api", "other")], other)):
            assert (await rigs.grpc_call(rig, b"x", metadata, path)).split(b":")[0] == replica.name.encode()
        assert json.loads((await rig.ask("/shop.v1.Texts/info")).body)["path"] == "/info"


@pytest.mark.parametrize(
    ("metadata", "code", "hint"),
    [
        ([("cortex-api", "none")], grpc.StatusCode.NOT_FOUND, "cortex get"),
        ([("cortex-api", "xone")], grpc.StatusCode.NOT_FOUND, "cortex get"),
        ([], grpc.StatusCode.INVALID_ARGUMENT, "cortex-api"),
    ],
)
async def test_grpc_without_a_known_api_is_told_so(
    rig: rigs.Rig, metadata: list[tuple[str, str]], code: grpc.StatusCode, hint: str
) -> None:
    async with replicas.started(with_grpc=True) as [replica]:
        await rig.publish(_route("one", replica))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rigs.grpc_call(rig, b"x", metadata)
        assert caught.value.code() is code and hint in str(caught.value.details())


@pytest.mark.parametrize("revisions", [{}, {"r1": (100, [])}])
async def test_an_api_without_replicas_is_unavailable_never_unknown(
    rig: rigs.Rig, revisions: dict[str, tuple[int, list[model.Endpoint]]]
) -> None:
    await rig.publish(rigs.route("text", revisions))
    response = await rig.ask("/text")
    assert response.status == 503 and response.headers["retry-after"] == "1"
    assert json.loads(response.body)["request_id"] == response.headers["x-request-id"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rigs.grpc_call(rig, b"x", [("cortex-api", "text")])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE and "{" not in str(caught.value.details())


async def test_the_access_log_names_api_revision_replica_and_request(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:
        await rig.publish(_route("text", replica))
        await rig.ask("/text/x", b"12345", x_request_id="mine", user_agent="test")
        rig.stop_envoy(15)
        line = json.loads(rig.access_log.read_text().splitlines()[0])
        expected = {
            "api": "default/text",
            "cluster": "namespaces/default/apis/text/revisions/r1",
            "replica": replica.name,
            "path": "/text/x",
            "status": 200,
            "bytes_received": 5,
            "request_id": "mine",
            "attempts": 1,
            "user_agent": "test",
        }
        assert {key: line[key] for key in expected} == expected


async def test_callers_cannot_steer_the_gateway_by_its_own_headers(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:

        async def answer(_path: str, _body: bytes) -> replicas.Answer:
            return 500, {}, b"mine"

        replica.answer = answer
        await rig.publish(_route("text", replica))
        answer_to = await rig.ask("/text", x_envoy_retry_on="5xx", x_envoy_max_retries="3")
        assert answer_to.body == b"mine"
        assert replica.requests == 1


def _route(api: str, replica: replicas.Replica) -> model.Route:
    return rigs.route(api, {"r1": (100, [replica.endpoint])})
