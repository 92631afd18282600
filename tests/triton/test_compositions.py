"""Models made of models, on a real Triton: an ensemble, and a Python model that asks another."""

import asyncio
import collections
import os
import pathlib
import shutil
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.inference import InferError, InferRequest
from runtime.triton import processes
from tests.fakes import object_store
from tests.runtime import replica
from tests.triton import replicas, stand
from tests.triton.stand import Stand, double, floats, read_floats

MODELS = ("asker", "chain", "double")


@pytest.fixture
async def served(tmp_path: pathlib.Path) -> AsyncIterator[Stand]:
    async with stand.running("triton", tmp_path, models=MODELS) as made:
        yield made


async def ask(served: Stand, model: str, value: float) -> float:
    request = InferRequest(model, "", "", [floats("x", [value], [1, 1])])
    return read_floats((await served.engine.infer(request)).outputs[0])[0]


async def test_they_answer_and_are_loaded_once(served: Stand) -> None:
    assert [entry.state for entry in await served.engine.index()] == ["READY"] * 3
    assert await ask(served, "chain", 1.5) == 6.0
    assert await ask(served, "asker", 1.5) == 4.0
    assert served.runner._calls.server.loads == 2, "the ensemble brings its members"


async def test_a_member_that_dies_is_replaced_below_the_ensemble(served: Stand) -> None:
    outcomes: collections.Counter[str] = collections.Counter()
    stop = asyncio.Event()

    async def caller() -> None:
        while not stop.is_set():
            try:
                assert await ask(served, "chain", 1.0) == 4.0
                outcomes["ok"] += 1
            except InferError as error:
                outcomes[error.reason] += 1

    callers = [asyncio.ensure_future(caller()) for _ in range(4)]
    await served.wait(lambda: outcomes["ok"] > 20)
    victim = next(stub for stub in processes.stubs(served.runner.pid) if stub.model == "double")
    os.kill(victim.pid, signal.SIGKILL)
    # Nobody is sent into what lacks a part.
    await served.wait(lambda: served.state("chain") == "LOADING")
    await served.wait(lambda: served.state("double") == served.state("chain") == "READY")
    answered = outcomes["ok"]
    await served.wait(lambda: outcomes["ok"] > answered + 20)
    stop.set()
    await asyncio.gather(*callers)
    assert set(outcomes) <= {"ok", "WORKER_DIED"} and outcomes["WORKER_DIED"] <= len(callers)
    assert await ask(served, "asker", 1.0) == 3.0


async def test_new_files_of_a_member_reach_the_ensemble(served: Stand, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "models/double"
    shutil.copytree(folder / "1", folder / "2")
    code = (folder / "2/model.py").read_text()
    (folder / "2/model.py").write_text(code.replace("x * 2", "x * 10"))
    await served.engine.load("double", {})
    assert await ask(served, "chain", 1.0) == 100.0
    assert await ask(served, "asker", 1.0) == 11.0


async def test_what_an_admin_unloads_stays_away_with_what_is_made_of_it(served: Stand) -> None:
    await served.engine.unload("double", dependents=False)
    first = served.runner.pid
    for again in (False, True):
        if again:  # a successor of the server brings neither back
            os.kill(first, signal.SIGKILL)
            await served.wait(lambda: served.runner.pid not in (first, None) and served.state("asker") == "READY")
        assert [served.state(model) for model in ("double", "chain")] == ["UNAVAILABLE"] * 2
        with pytest.raises(
            InferError, match="'chain' cannot be served: a model that it is made of is unloaded"
        ) as caught:
            await ask(served, "chain", 1.0)
        assert caught.value.status == 503
        with pytest.raises(InferError, match="'double' is unloaded; an admin loads it again"):
            await ask(served, "double", 1.0)
    await served.engine.load("double", {})
    assert await ask(served, "chain", 1.0) == 4.0
    assert served.state("chain") == "READY"


async def test_an_ensemble_of_what_is_not_there_says_so(tmp_path: pathlib.Path) -> None:
    async with stand.running("triton", tmp_path, models=["chain"]) as served:
        with pytest.raises(InferError) as caught:
            await served.engine.infer(double(1.0))
        assert caught.value.status == 404
        entry = served.catalog.find("chain")
        assert entry.state == "UNAVAILABLE" and "double" in entry.reason


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[object_store.Store]:
    (tmp_path / "objects/bucket/models").mkdir(parents=True)
    made = object_store.Store(tmp_path / "objects")
    yield made
    made.close()


def test_a_repository_in_an_object_store(tmp_path: pathlib.Path, store: object_store.Store) -> None:
    for model in MODELS:
        for path in (stand.REPOSITORY / model).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                store.put("bucket", f"models/{path.relative_to(stand.REPOSITORY)}", path.read_bytes())
    predictor = {"models": {"dir": "s3://bucket/models", "poll_interval": "100ms"}}
    config, environ = {"modelCacheDir": str(tmp_path / "cache")}, store.environ()
    with replicas.serving(tmp_path, "triton", [], predictor=predictor, config=config, environ=environ) as api:

        def answer(model: str, output: str) -> float:
            sent = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.5]}]}
            reply = api.client.post(f"/v2/models/{model}/infer", json=sent)
            assert reply.status_code == 200, reply.text
            told = {each["name"]: each["data"][0] for each in reply.json()["outputs"]}
            return float(told[output])

        assert (answer("chain", "z"), answer("asker", "y"), answer("double", "y")) == (6.0, 4.0, 3.0)
        code = (stand.REPOSITORY / "double/1/model.py").read_text().replace("x * 2", "x * 10")
        store.put("bucket", "models/double/2/model.py", code.encode())
        replica.wait_for(lambda: answer("double", "y") == 15.0)
        replica.wait_for(lambda: answer("chain", "z") == 150.0)
        assert answer("asker", "y") == 16.0


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_broken_new_files_leave_the_old_ones_to_a_successor(
    engine: str, tmp_path: pathlib.Path, store: object_store.Store
) -> None:
    code = (stand.REPOSITORY / "double/1/model.py").read_text()
    store.put("bucket", "models/double/config.pbtxt", (stand.REPOSITORY / "double/config.pbtxt").read_bytes())
    store.put("bucket", "models/double/1/model.py", code.encode())
    predictor = {"models": {"dir": "s3://bucket/models", "poll_interval": "100ms"}}
    config, environ = {"modelCacheDir": str(tmp_path / "cache")}, replicas.environ(engine) | store.environ()
    with replicas.serving(tmp_path, engine, [], predictor=predictor, config=config, environ=environ) as api:
        sent = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.5]}]}

        def answer() -> float:
            reply = api.client.post("/v2/models/double/infer", json=sent)
            told = {each["name"]: each["data"][0] for each in reply.json().get("outputs", ())}
            return float(told.get("y", 0))

        assert answer() == 3.0
        store.put("bucket", "models/double/1/model.py", b"this is no python")
        assert "what was there before serves on" in api.wait_line("model 'double' cannot be loaded")["message"]
        before = next(each["pid"] for each in api.state["workers"] if each["model"] == "double")
        os.kill(before, signal.SIGKILL)
        replica.wait_for(lambda: any(each["pid"] not in (0, before) for each in api.state["workers"]))
        replica.wait_for(lambda: answer() == 3.0)
        store.put("bucket", "models/double/1/model.py", code.replace("x * 2", "x * 10").encode())
        replica.wait_for(lambda: answer() == 15.0)
        replica.wait_for(lambda: len(list((tmp_path / "cache/trees").iterdir())) == 1)
