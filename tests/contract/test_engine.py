"""The port Engine over a repository of models: one suite for a real Triton server and for the embedded engine."""

import asyncio
import collections
import contextlib
import json
import os
import pathlib
import shutil
import signal
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtime.inference import InferError, InferRequest, Tensor
from tests.triton import stand
from tests.triton.stand import Stand, double, floats, read_floats, texts


@pytest.fixture(scope="module", params=["triton", "embedded"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def served(kind: str, tmp_path: pathlib.Path) -> AsyncIterator[Stand]:
    async with stand.running(kind, tmp_path, models=["double", "echo_text", "count", "broken"]) as made:
        yield made


async def test_answers_tensors_and_tells_about_models(served: Stand) -> None:
    engine = served.engine
    response = await engine.infer(double(1.5, -2.5, 3.0))
    assert (response.model, response.version, response.id) == ("double", "1", "id")
    assert [(t.name, t.datatype, list(t.shape)) for t in response.outputs] == [("y", "FP32", [1, 3])]
    assert read_floats(response.outputs[0]) == [3.0, -5.0, 6.0]

    both = await engine.infer(InferRequest("double", "", "", [floats("x", [1, 2], [2, 1])]))
    assert {t.name: list(t.shape) for t in both.outputs} == {"y": [2, 1], "pid": [2, 1]}

    upper = await engine.infer(InferRequest("echo_text", "1", "", [texts("text", "grüß", "")]))
    assert bytes(upper.outputs[0].data) == bytes(texts("text", "GRÜSS", "").data) or b"GR" in upper.outputs[0].data
    lower = await engine.infer(InferRequest("echo_text", "", "", [texts("text", "ABC")]))
    assert (lower.version, bytes(lower.outputs[0].data)) == ("2", bytes(texts("text", "abc").data))

    told = await engine.metadata("double", "")
    assert (told.platform, told.versions, told.inputs[0].shape) == ("python", ("1",), (-1, -1))
    assert (await engine.config("double", ""))["max_batch_size"] == 8
    stats = await engine.statistics("double", "")
    assert int(stats[0]["inference_stats"]["success"]["count"]) >= 2
    index = {(e.name, e.version): (e.state, e.reason) for e in await engine.index()}
    assert index["double", "1"] == ("READY", "") and index["echo_text", "2"] == ("READY", "")
    assert index["broken", "1"][0] == "UNAVAILABLE" and "no such weights" in index["broken", "1"][1]
    assert await engine.is_ready("double", "") and not await engine.is_ready("broken", "")


def bad() -> list[tuple[str, InferRequest, int]]:
    return [
        ("unknown model", InferRequest("nope", "", "", []), 404),
        ("unknown version", InferRequest("double", "7", "", [floats("x", [1], [1, 1])]), 404),
        ("no version at all", InferRequest("double", "../1", "", [floats("x", [1], [1, 1])]), 404),
        ("missing input", InferRequest("double", "", "", []), 400),
        ("unexpected input", InferRequest("double", "", "", [floats("z", [1], [1, 1])]), 400),
        ("twice", InferRequest("double", "", "", [floats("x", [1], [1, 1]), floats("x", [1], [1, 1])]), 400),
        ("wrong rank", InferRequest("double", "", "", [floats("x", [1], [1])]), 400),
        ("wrong type", InferRequest("double", "", "", [Tensor("x", "INT32", [1, 1], b"\0\0\0\0")]), 400),
        ("too few bytes", InferRequest("double", "", "", [Tensor("x", "FP32", [1, 2], b"\0\0\0\0")]), 400),
        ("negative size", InferRequest("double", "", "", [Tensor("x", "FP32", [1, -1], b"")]), 400),
        ("over the batch", InferRequest("double", "", "", [floats("x", [1] * 9, [9, 1])]), 400),
        ("unknown output", InferRequest("double", "", "", [floats("x", [1], [1, 1])], outputs=["nope"]), 400),
        ("cannot be loaded", InferRequest("broken", "", "", [floats("x", [1], [1])]), 503),
        ("too late", double(1.0, timeout=-1.0), 504),
        ("raises", double(-1.0), 500),
        ("an error of its own", double(-2.0), 500),
    ]


async def test_says_what_is_wrong(served: Stand) -> None:
    for what, request, status in bad():
        with pytest.raises(InferError) as caught:
            await served.engine.infer(request)
        assert caught.value.status == status, f"{what}: {caught.value}"
        # The text of an exception may hold anything; it is for the log.
        assert "secret" not in str(caught.value), what
        if what == "an error of its own":
            assert "no number I like" in str(caught.value)
    assert read_floats((await served.engine.infer(double(1.0))).outputs[0]) == [2.0]
    await served.wait(lambda: served.said("secret detail"))


async def test_deadlines_are_kept_on_time_also_in_the_queue(served: Stand) -> None:
    async def late(after: float) -> float:
        request = double(1.0, timeout=after)
        with pytest.raises(InferError) as caught:
            await served.engine.infer(request)
        assert caught.value.status == 504
        return time.monotonic() - request.deadline

    # Eight permits, all taken by a call of 300 ms.
    slow = [asyncio.ensure_future(served.engine.infer(double(-3.0))) for _ in range(8)]
    await asyncio.sleep(0.02)
    over = await asyncio.gather(*(late(0.1) for _ in range(8)))
    assert max(over) < 0.15
    assert all(each.outputs for each in await asyncio.gather(*slow))


async def test_a_caller_who_leaves_ends_the_work(served: Stand) -> None:
    task = asyncio.ensure_future(served.engine.infer(double(-4.0, timeout=60)))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await served.wait(lambda: served.said("cancelled"))
    assert (await served.engine.infer(double(2.0))).outputs


async def test_streams_and_stops_when_nobody_listens(served: Stand) -> None:
    def count(to: int) -> InferRequest:
        return InferRequest("count", "", "c", [Tensor("to", "INT32", [1], struct.pack("<i", to))])

    got = [response async for response in served.engine.stream(count(3))]
    numbers = [struct.unpack("<i", r.outputs[0].data)[0] for r in got if r.outputs]
    assert numbers == [0, 1, 2] and [r.final for r in got].count(True) == 1 and got[-1].final

    async with contextlib.aclosing(served.engine.stream(count(1000))) as responses:
        async for _ in responses:
            break
    await served.wait(lambda: served.said("stopped at"))
    assert (await served.engine.infer(count(1))).outputs  # exactly one response is an answer, too
    with pytest.raises(InferError):
        await served.engine.infer(count(2))


async def test_requests_at_the_same_time_share_a_batch(served: Stand) -> None:
    async def one(value: float) -> list[float]:
        return read_floats((await served.engine.infer(double(value))).outputs[0])

    values = [float(number) for number in range(1, 41)]
    answers = await asyncio.gather(*map(one, values))
    assert answers == [[2 * value] for value in values]


async def test_the_queue_is_bounded(kind: str, tmp_path: pathlib.Path) -> None:
    async with stand.running(kind, tmp_path, models=["double"], limit=10) as served:
        tasks = [asyncio.ensure_future(served.engine.infer(double(-3.0))) for _ in range(30)]
        done = await asyncio.gather(*tasks, return_exceptions=True)
    outcomes = collections.Counter(e.reason if isinstance(e, InferError) else "ok" for e in done)
    assert outcomes == {"ok": 10, "QUEUE_FULL": 20}


async def test_instances_that_die_together_cost_what_is_inside_them(kind: str, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "models/double"
    shutil.copytree(stand.REPOSITORY / "double", folder, ignore=shutil.ignore_patterns("__pycache__"))
    config, code = folder / "config.pbtxt", folder / "1/model.py"
    config.write_text(config.read_text() + "instance_group [ { count: 2 kind: KIND_CPU } ]\n")
    code.write_text("import time\n\ntime.sleep(0.5)  # so that requests come while it is loaded\n" + code.read_text())
    async with stand.running(kind, tmp_path) as served:
        outcomes: collections.Counter[str] = collections.Counter()
        stop = asyncio.Event()

        async def caller() -> None:
            while not stop.is_set():
                try:
                    await served.engine.infer(double(1.0))
                    outcomes["ok"] += 1
                except InferError as error:
                    outcomes[error.reason] += 1

        callers = [asyncio.ensure_future(caller()) for _ in range(4)]
        await served.wait(lambda: outcomes["ok"] > 20)
        victims = [told["pid"] for told in served.runner.describe() if told["model"] == "double"]
        assert len(victims) == 2
        for victim in victims:
            os.kill(victim, signal.SIGKILL)

        def replaced() -> bool:
            told = [each for each in served.runner.describe() if each["model"] == "double"]
            alive = [each["pid"] for each in told if each["state"] == "READY"]
            return served.state("double") == "READY" and len(alive) == 2 and not set(alive) & set(victims)

        await served.wait(replaced)
        answered = outcomes["ok"]
        await served.wait(lambda: outcomes["ok"] > answered + 20)
        stop.set()
        await asyncio.gather(*callers)
        assert set(outcomes) <= {"ok", "WORKER_DIED"}
        assert outcomes["WORKER_DIED"] <= len(callers) * len(victims)


async def test_models_are_loaded_unloaded_and_swapped_under_load(served: Stand, tmp_path: pathlib.Path) -> None:
    engine, folder = served.engine, tmp_path / "models/double"
    await engine.unload("echo_text", dependents=False)
    with pytest.raises(InferError) as caught:
        await engine.infer(InferRequest("echo_text", "", "", [texts("text", "A")]))
    assert caught.value.status == 503 and not await engine.is_ready("echo_text", "")
    assert str(caught.value).startswith("model 'echo_text' is unloaded; an admin loads it again with POST /v2/")
    await engine.load("echo_text", {})
    assert (await engine.infer(InferRequest("echo_text", "", "", [texts("text", "A")]))).outputs
    with pytest.raises(InferError) as caught:
        await engine.load("../../etc", {})
    assert caught.value.status == 404

    stop, answers, failures = asyncio.Event(), set(), []

    async def load() -> None:
        while not stop.is_set():
            try:
                answers.add(read_floats((await engine.infer(double(3.0))).outputs[0])[0])
            except InferError as error:
                failures.append(error)

    callers = [asyncio.ensure_future(load()) for _ in range(4)]
    await asyncio.sleep(0.1)
    shutil.copytree(folder / "1", folder / "2")
    code = (folder / "2/model.py").read_text()
    (folder / "2/model.py").write_text(code.replace("x * 2", "x * 10"))
    await engine.load("double", {})
    assert read_floats((await engine.infer(double(3.0))).outputs[0]) == [30.0]
    shutil.copytree(folder / "2", folder / "3")
    (folder / "3/model.py").write_text("raise RuntimeError('half a file')")
    with pytest.raises(InferError) as caught:
        await engine.load("double", {})
    assert caught.value.status == 400 and "half a file" in str(caught.value)
    assert read_floats((await engine.infer(double(3.0))).outputs[0]) == [30.0]
    stop.set()
    await asyncio.gather(*callers)
    assert answers == {6.0, 30.0} and failures == []


CONFIG = {
    "backend": "python",
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [
        {"name": "y", "data_type": "TYPE_FP32", "dims": [-1]},
        {"name": "pid", "data_type": "TYPE_INT64", "dims": [1]},
    ],
}


async def test_a_config_that_is_refused_says_why(served: Stand) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"max_batch_size": -1}, "max_batch_size is -1"),
        ({"output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [0]}]}, "output 'y': dims[0] is 0"),
    ]
    if served.runner.kind == "triton":  # which looks at more, and tells its log alone
        batching = {"preferred_batch_size": [9]}
        wrong.append(({"max_batch_size": 4, "dynamic_batching": batching}, "preferred size must be <= max batch size"))
    for change, told in wrong:
        with pytest.raises(InferError) as caught:
            await served.engine.load("double", {"config": json.dumps({**CONFIG, **change})})
        assert caught.value.status == 400 and told in str(caught.value)
        assert str(caught.value).endswith("; what was there before serves on")
    assert read_floats((await served.engine.infer(double(3.0))).outputs[0]) == [6.0]
