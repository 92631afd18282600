"""Unary gRPC through the gateway and its bridge to a real replica: nothing of gRPC is lost on the way."""

import asyncio
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2, status_pb2

from cortex.runtime.v1 import prediction_service_pb2 as pb
from services.apiserver import model
from tests.gateway import rig as rigs
from tests.runtime import replica as real

SOURCE = """
import os, pathlib, time

class HTTPException(Exception):
    status_code, detail = 404, "no such thing: 100 % gone\\nü"

class PythonPredictor:
    def predict(self, payload, query_params, headers):
        mode = query_params.get("mode")
        if mode == "raise":
            raise HTTPException()
        if mode == "die-once":
            mark = pathlib.Path(query_params["mark"])
            if not mark.exists():
                mark.write_text("")
                os.abort()
            return "second try"
        if mode == "sleep":
            while True:
                time.sleep(0.01)
        if mode == "stream":
            return (f"part {index} " for index in range(100))
        if isinstance(payload, bytes):
            return payload[::-1]
        return {"payload": payload, "header": headers.get("x-custom"), "te": headers.get("te")}
"""
API = ("cortex-api", "text")


class Bench:
    """Gateway, replica and a channel to the former."""

    def __init__(self, rig: rigs.Rig, replica: real.Replica, channel: grpc.aio.Channel) -> None:
        self.rig, self.replica = rig, replica
        self._predict: Any = channel.unary_unary(
            rigs.BRIDGED,
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictResponse.FromString,
        )
        self._stream: Any = channel.unary_stream(
            "/cortex.runtime.v1.PredictionService/PredictStream",
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictResponse.FromString,
        )

    def predict(self, request: pb.PredictRequest, **options: Any) -> Any:
        metadata = (API, *options.pop("metadata", ()))
        return self._predict(request, metadata=metadata, timeout=options.pop("timeout", 15), **options)

    def stream(self, request: pb.PredictRequest) -> Any:
        return self._stream(request, metadata=(API,), timeout=15)


@pytest_asyncio.fixture
async def bench(rig: rigs.Rig, tmp_path: pathlib.Path) -> AsyncIterator[Bench]:
    spec = {"networking": {"maxRequestBytes": "100000"}}
    folder = tmp_path / "replica"
    folder.mkdir()
    with real.running(folder, SOURCE, spec=spec, config={"grpcAddress": "free"}) as replica:
        endpoint = model.Endpoint("real", f"127.0.0.1:{replica.http_port}", replica.grpc_address)
        await rig.publish(rigs.route("text", {"r1": (100, [endpoint])}))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{rig.data_port}") as channel:
            yield Bench(rig, replica, channel)


def value(what: object) -> struct_pb2.Value:
    return json_format.Parse(json.dumps(what), struct_pb2.Value())


async def failure(call: Any) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailers = [(key, found) for key, found in caught.value.trailing_metadata() or ()]
    details = next((found for key, found in trailers if key == "grpc-status-details-bin"), None)
    assert details is not None, caught.value
    status: Any = status_pb2.Status.FromString(details)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info) and status.message == caught.value.details()
    return caught.value.code(), info.reason.removeprefix("ERROR_REASON_"), status.message


async def test_messages_metadata_and_the_request_id_arrive(bench: Bench) -> None:
    request = pb.PredictRequest(json=value({"n": 5}))
    call = bench.predict(request, metadata=(("x-custom", "yes"), ("x-request-id", "mine")))
    answer = json.loads(json_format.MessageToJson((await call).json))
    assert answer == {"payload": {"n": 5}, "header": "yes", "te": None}
    assert dict(await call.initial_metadata())["x-request-id"] == "mine"
    assert (await bench.predict(pb.PredictRequest(body=b"abc"))).body == b"cba"
    assert (await bench.predict(pb.PredictRequest())).body == b""
    assert (await bench.predict(pb.PredictRequest(body=b"abc"), compression=grpc.Compression.Gzip)).body == b"cba"


async def test_the_bridge_is_used_for_unary_calls_only(bench: Bench) -> None:
    whole = "".join(f"part {index} " for index in range(100)).encode()
    request = pb.PredictRequest(query_params={"mode": "stream"})
    assert (await bench.predict(request)).body == whole
    parts = [answer.body async for answer in bench.stream(request)]
    assert len(parts) == 100 and b"".join(parts) == whole
    log = bench.rig.access_log
    lines = await rigs.until(
        lambda: len(found := log.read_text().rpartition("\n")[0].splitlines()) > 1 and found, "the access log"
    )
    assert [json.loads(line)["cluster"].endswith("#grpc") for line in lines] == [False, True]


async def test_failures_keep_code_message_and_details(bench: Bench) -> None:
    raised = await failure(bench.predict(pb.PredictRequest(query_params={"mode": "raise"})))
    assert raised == (grpc.StatusCode.NOT_FOUND, "UNSPECIFIED", "no such thing: 100 % gone\nü")
    malformed = await failure(bench.predict(pb.PredictRequest(body=b"{", content_type="application/json")))
    assert malformed[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_MALFORMED")
    large = await failure(bench.predict(pb.PredictRequest(body=b"x" * 200_000)))
    assert large[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE")
    bomb = pb.PredictRequest(body=b"x" * 200_000)
    inflated = await failure(bench.predict(bomb, compression=grpc.Compression.Gzip))
    assert inflated[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE")


async def test_a_deadline_and_a_caller_who_leaves_free_the_worker(bench: Bench) -> None:
    sleep = pb.PredictRequest(query_params={"mode": "sleep"})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bench.predict(sleep, timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await bench.predict(pb.PredictRequest(body=b"ab"))).body == b"ba"
    left = bench.predict(sleep)
    await asyncio.wait([asyncio.ensure_future(left.wait_for_connection())])
    left.cancel()
    assert (await bench.predict(pb.PredictRequest(body=b"ab"))).body == b"ba"


async def test_a_call_whose_worker_dies_is_tried_again(bench: Bench, tmp_path: pathlib.Path) -> None:
    request = pb.PredictRequest(query_params={"mode": "die-once", "mark": str(tmp_path / "mark")})
    assert (await bench.predict(request)).body == b"second try"


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0a\x05ab", b"\x1a\x02\xff\xfe"])
async def test_bytes_that_are_no_request(bench: Bench, data: bytes) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{bench.rig.data_port}") as channel:
        call: Any = channel.unary_unary(rigs.BRIDGED)
        code, reason, _ = await failure(call(data, metadata=(API,), timeout=15))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_MALFORMED")


async def test_what_the_gateway_says_itself_is_grpc_too(bench: Bench) -> None:
    await bench.rig.publish(rigs.route("text", {"r1": (100, [])}))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bench.predict(pb.PredictRequest(body=b"ab"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE and "replica" in str(caught.value.details())
