"""Answers to gRPC's Predict that are hard to encode, and deadlines, as both ways to the predictor take them."""

import asyncio
import concurrent.futures.process
import multiprocessing
import pathlib
import types
from typing import Any

import pytest

from cortex.runtime.v1 import prediction_service_pb2 as pb
from runtime import errors, grpc_bridge, grpc_direct, grpc_door, grpc_messages, scribe
from runtime.inference import InferError

LARGE = b'"%b"' % (b"x" * scribe.INLINE_BYTES)
FIELDS = [b"application/json", b"", b""]


class Exchange(types.SimpleNamespace):
    """One that keeps how it ended. `headers` are the caller's."""

    def __init__(self, message: pb.PredictRequest, timeout: float | None = None, **headers: bytes) -> None:
        super().__init__(began=100.0, attempt=0, priority=5, on_cancel=None, timeout=timeout)
        self.body = grpc_bridge.framed(message.SerializeToString())
        self.fields = [b"POST", b"/", b"", b"", b"id", b""]
        self.headers = headers
        self.ended = asyncio.get_running_loop().create_future()

    def header(self, name: bytes) -> bytes:
        return self.headers.get(name.decode().replace("-", "_"), b"")

    def on_failure(self, failure: errors.Failure) -> None:
        self.ended.set_result(failure)

    def reply(self, status: int, lines: Any, body: bytes) -> None:
        self.ended.set_result(body)


class Scribe(scribe.Scribe):
    """Fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def ask(self, *given: Any, deadline: float = 0.0) -> Any:
        raise self._error


@pytest.mark.parametrize("levels", [50, 60, 200, 1000])
def test_json_too_deep_for_a_message_comes_as_a_body(levels: int) -> None:
    data = b"[" * levels + b"]" * levels
    told = pb.PredictResponse.FromString(grpc_messages.encoded(data, "application/json", True))
    assert told.WhichOneof("payload") == ("json" if levels <= 50 else "body")
    assert levels <= 50 or told.body == data


@pytest.mark.parametrize("error", [ValueError("a defect"), InferError(503, "died", "WORKER_DIED", 1)])
async def test_a_large_answer_that_cannot_be_encoded_is_a_failure(error: Exception) -> None:
    seen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, about: seen.append(about["exception"]))
    request = pb.PredictRequest()
    request.json.number_value = 1
    exchange: Any = Exchange(request)
    grpc_direct.Prediction(exchange, request, Scribe(error)).on_response(200, FIELDS, LARGE)
    async with asyncio.timeout(10):
        failure = await exchange.ended
    assert failure.status == (503 if isinstance(error, InferError) else 500)
    assert seen == ([] if isinstance(error, InferError) else [error])


async def test_so_it_is_for_who_speaks_grpc_to_the_replica() -> None:
    class Ended(Exception):
        pass

    async def abort(code: Any, details: str, trailers: Any) -> None:
        raise Ended(code.name, details)

    door: Any = types.SimpleNamespace(scribe=Scribe(InferError(503, "died", "WORKER_DIED", 1)))
    call = grpc_door.Rpc(0.0, True)
    call.fields, call.content_type = [b"POST", b"/", b"", b"", b"id", b""], "application/json"
    dispatcher: Any = None
    with pytest.raises(Ended) as told:
        await grpc_door.Predictions(dispatcher, door)._encoded(LARGE, call, types.SimpleNamespace(abort=abort))
    assert told.value.args == ("UNAVAILABLE", "died")


@pytest.mark.parametrize("error", [concurrent.futures.process.BrokenProcessPool("killed"), OSError("no processes")])
async def test_a_scribe_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def started() -> Any:
        raise error

    monkeypatch.setattr(scribe, "_started", started)
    with pytest.raises(InferError, match=r"could not be started; send it again: (killed|no processes)") as told:
        await scribe.Scribe().ask(len, b"")
    assert (told.value.status, told.value.retry_after) == (503, 1)


@pytest.mark.parametrize(
    ("timeout", "told", "headers", "deadline"),
    [
        (None, "", {}, None),
        (2.0, "", {}, 2.0),
        (2.0, "", {"grpc_timeout": b"1S"}, 1.0),
        (2.0, "", {"grpc_timeout": b"3S"}, 2.0),
        (None, "500", {"grpc_timeout": b"3S"}, 0.5),
    ],
)
async def test_the_earliest_deadline_counts(
    timeout: float | None, told: str, headers: dict[str, bytes], deadline: float | None
) -> None:
    asked: list[float | None] = []

    def deadline_of(began: float, limit: float | None) -> float:
        asked.append(limit)
        return 0.0

    dispatcher: Any = types.SimpleNamespace(
        verbs=("POST",), wants_headers=False, deadline=deadline_of, submit=lambda call: None
    )
    request = pb.PredictRequest(body=b"1", headers={"x-request-timeout-ms": told} if told else {})
    exchange: Any = Exchange(request, timeout, **headers)
    assert grpc_direct.Predict(dispatcher, 1000, scribe.Scribe())(exchange)
    assert asked == [deadline]


@pytest.mark.parametrize("asked", [{"X-Request-Timeout-Ms": "nonsense"}, {"x-request-priority": "11"}])
async def test_a_message_that_asks_for_what_cannot_be_is_refused(asked: dict[str, str]) -> None:
    dispatcher: Any = types.SimpleNamespace(verbs=("POST",), wants_headers=False, deadline=None)
    exchange: Any = Exchange(pb.PredictRequest(body=b"1", headers=asked))
    assert grpc_direct.Predict(dispatcher, 1000, scribe.Scribe())(exchange)
    assert (await exchange.ended).status == 400


async def test_a_scribe_that_is_closed_ends_in_the_middle_of_a_text(tmp_path: pathlib.Path) -> None:
    reading, begun = scribe.Scribe(), tmp_path / "begun"
    endless = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(3600)"
    asked = asyncio.ensure_future(reading.ask(exec, endless))
    async with asyncio.timeout(30):
        while not begun.exists():
            await asyncio.sleep(0.01)
    [process] = multiprocessing.active_children()
    reading.close()
    async with asyncio.timeout(30):
        with pytest.raises(InferError, match="died"):
            await asked
    # Not by its exit code: a thread of the pool may be the one that learns it.
    async with asyncio.timeout(30):
        while pathlib.Path(f"/proc/{process.pid}").exists():
            await asyncio.sleep(0.01)
