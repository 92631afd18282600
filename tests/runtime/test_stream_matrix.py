"""Each way to stream against all that can happen to a stream: plain and async generators, over events, lines of
JSON, raw chunks and gRPC; a first item, a slow reader, one who leaves, a deadline, an error on the way."""

import contextlib
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from cortex.runtime.v1 import prediction_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2_grpc as pb_grpc
from tests.runtime.replica import Replica, running, wait_for

SOURCE = """
import os, time

class PythonPredictor:
    def predict(self, query_params):
        return getattr(self, query_params["mode"])(query_params["tag"])

    def first(self, tag):
        yield "first"
        while not os.path.exists(tag):
            time.sleep(0.002)
        yield "second"

    def broken(self, tag):
        yield "first"
        raise ValueError("secret")

    def formless(self, tag):
        yield {"no form": object()}

    def short(self, tag):
        yield "all"

    def endless(self, tag):
        try:
            for count in range(1_000_000):
                print(tag, "yields")
                yield "x" * 60_000
        finally:
            print(tag, "closed")

    def silent(self, tag):
        try:
            yield "first"
            while True:
                time.sleep(0.002)
        finally:
            print(tag, "closed")

    def late(self, tag):
        try:
            while True:
                time.sleep(0.002)
            yield
        finally:
            print(tag, "closed")
"""
ASYNC = SOURCE.replace("    def ", "    async def ").replace("import os, time", "import asyncio, os")
ASYNC = ASYNC.replace("time.sleep", "await asyncio.sleep")
FRAMINGS = ["events", "lines", "chunks", "grpc"]
_tags = itertools.count()


class Cut(Exception):
    """The stream ended before its end; the text is what was said."""


@pytest.fixture(scope="module", params=["sync", "async"])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    source = SOURCE if request.param == "sync" else ASYNC
    # A second thread, so that a plain predictor can be asked while a stream is held.
    predictor = {"threadsPerProcess": 2}
    folder = tmp_path_factory.mktemp("matrix")
    with running(folder, source, predictor=predictor, config={"grpcAddress": "free"}) as found:
        yield found


@pytest.fixture
def tag() -> str:
    return f"tag{next(_tags)}"


@contextlib.contextmanager
def reading(replica: Replica, framing: str, mode: str, tag: str, millis: int = 0) -> Iterator[Iterator[str]]:
    """The items of a stream, as they come. Leaving the context is leaving the stream."""
    query = {"mode": mode, "tag": tag}
    if framing == "grpc":
        with grpc.insecure_channel(replica.grpc_address) as channel:
            request = pb.PredictRequest(query_params=query)
            call = pb_grpc.PredictionServiceStub(channel).PredictStream(request, timeout=millis / 1000 or None)
            yield _messages(call)
            call.cancel()
        return
    accept = {"events": "text/event-stream", "lines": "application/x-ndjson", "chunks": "*/*"}[framing]
    headers = {"accept": accept} | ({"x-request-timeout-ms": str(millis)} if millis else {})
    with replica.client.stream("POST", "/", params=query, headers=headers) as answer:
        yield _parsed(framing, answer)


def _messages(call: Any) -> Iterator[str]:
    try:
        for message in call:
            yield message.body.decode()
    except grpc.RpcError as error:
        told: Any = error
        raise Cut(f"{told.code().name} {told.details()}") from None


def _parsed(framing: str, answer: httpx.Response) -> Iterator[str]:
    if answer.status_code != 200:
        answer.read()
        raise Cut(f"{answer.status_code} {answer.json()['error']}")
    try:
        if framing == "chunks":
            yield from answer.iter_text()
            return
        name = ""
        for line in answer.iter_lines():
            if framing == "lines":
                yield json.loads(line)
            elif line.startswith("event: "):
                name = line
            elif line.startswith("data: "):
                if name:
                    raise Cut(json.loads(line[6:])["error"])
                yield line[6:]
    except httpx.RemoteProtocolError as error:
        raise Cut(str(error)) from None


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_first_item_does_not_wait_for_the_second(replica: Replica, framing: str, tmp_path: pathlib.Path) -> None:
    gate = tmp_path / "gate"
    with reading(replica, framing, "first", str(gate)) as items:
        assert next(items) == "first"
        gate.touch()
        assert list(items) == ["second"]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_error_on_the_way_comes_behind_what_was_yielded(replica: Replica, framing: str, tag: str) -> None:
    with reading(replica, framing, "broken", tag) as items:
        assert next(items) == "first"
        with pytest.raises(Cut) as cut:
            next(items)
    told = {"events": "failed in the middle", "grpc": "INTERNAL the predictor failed in the middle"}
    assert told.get(framing, "incomplete chunked read") in str(cut.value) and "secret" not in str(cut.value)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_first_item_that_cannot_be_encoded_is_an_error_and_no_stream(
    replica: Replica, framing: str, tag: str
) -> None:
    with reading(replica, framing, "formless", tag) as items, pytest.raises(Cut) as told:
        next(items)
    assert str(told.value).startswith("INTERNAL" if framing == "grpc" else "500 ")


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("mode", ["endless", "silent"])
def test_who_leaves_ends_the_generator(replica: Replica, framing: str, mode: str, tag: str) -> None:
    with reading(replica, framing, mode, tag) as items:
        assert next(items)
    replica.wait_line(f"{tag} closed")


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("mode", ["silent", "late"])
def test_a_deadline_ends_the_stream_and_the_generator(replica: Replica, framing: str, mode: str, tag: str) -> None:
    with pytest.raises(Cut) as cut, reading(replica, framing, mode, tag, 150) as items:
        assert list(items) == []
    told = "DEADLINE_EXCEEDED" if framing == "grpc" else "504 " if mode == "late" else "incomplete chunked read"
    assert told in str(cut.value)
    replica.wait_line(f"{tag} closed")


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_slow_reader_holds_the_generator_and_nobody_else(replica: Replica, framing: str, tag: str) -> None:
    with reading(replica, framing, "endless", tag) as items:
        assert next(items)
        counts: list[int] = []

        def settled() -> bool:
            counts.append(sum(f"{tag} yields" in line["message"] for line in replica.lines()))
            return len(counts) > 40 and counts[-1] == counts[-30]

        wait_for(settled)
        # 60 kB each: what the window, the sockets and gRPC's buffers take.
        assert counts[-1] < 300
        assert replica.client.post("/", params={"mode": "short", "tag": tag}).text == "all"
    replica.wait_line(f"{tag} closed")
