"""The models of a predictor of a framework type: what is loaded at a time, over an engine that only counts."""

import asyncio
import pathlib
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from runtime.inference import InferError, InferRequest, InferResponse
from runtime.models import declaration, opening, sources
from runtime.models.repository import Repository
from runtime.triton.engine import RepositoryEngine
from runtime.triton.repository import Source
from runtime.triton.residents import Residents


class Counting:
    """An engine whose models answer with their own names once `may_load` is set."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.loads = 0
        self.most = 0
        self.may_load = asyncio.Event()
        self.may_load.set()

    async def put(self, source: Source) -> None:
        self.loads += 1
        self.loaded.add(source.name)
        self.most = max(self.most, len(self.loaded))
        await self.may_load.wait()
        await asyncio.sleep(0)

    async def remove(self, name: str) -> None:
        await asyncio.sleep(0)
        self.loaded.discard(name)

    async def infer(self, request: InferRequest) -> InferResponse:
        assert request.model in self.loaded
        await asyncio.sleep(0)
        assert request.model in self.loaded, "a model in use was unloaded"
        return InferResponse("", "", "", [])


Started = tuple[Counting, Residents, Repository]
Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: pathlib.Path) -> AsyncIterator[Start]:
    tasks = []

    async def begin(**limits: Any) -> Started:
        for name in "abcd":
            (tmp_path / "models" / name).mkdir(parents=True)
            (tmp_path / "models" / name / "m.onnx").write_bytes(b"x" * (500 if name == "d" else 100))
        declared = declaration.read({"dir": str(tmp_path / "models"), "poll_interval": "10ms", **limits})
        opened = {"": sources.DiskSource(tmp_path / "models", is_fixed=False)}
        models = Repository(declared, kind="onnx", opened=opened, store=opening.NoStore(), say=lambda level, text: None)
        await models.start()
        engine = Counting()
        residents = Residents(
            cast(RepositoryEngine, engine), models, tmp_path / "laid", kind="onnx", batching=None, processes=1,
            cores=(0, 0), gpus=0, say=lambda level, text: None,
        )  # fmt: skip
        tasks.extend([asyncio.ensure_future(models.run()), asyncio.ensure_future(residents.follow())])
        return engine, residents, models

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def ask(residents: Residents, name: str) -> str:
    response = await residents.infer(name, "latest", InferRequest("", "", "", []))
    return response.model


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not what():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("limits", [{"cache_size": 1, "disk_cache_size": 1}, {"memory_budget": 150}])
async def test_limits_hold_while_many_ask_at_once(start: Start, limits: dict[str, Any]) -> None:
    engine, residents, _ = await start(**limits)
    answers = await asyncio.gather(*(ask(residents, name) for name in "abcabcabc"))
    assert answers == list("abcabcabc")
    assert engine.most == 1


async def test_a_model_beyond_the_budget_is_refused(start: Start) -> None:
    engine, residents, _ = await start(memory_budget=150)
    with pytest.raises(InferError, match=r"more than models\.memory_budget") as caught:
        await ask(residents, "d")
    assert caught.value.status == 507
    assert engine.loads == 0


async def test_what_is_gone_from_its_source_is_unloaded(start: Start, tmp_path: pathlib.Path) -> None:
    engine, residents, _ = await start()
    await ask(residents, "a")
    shutil.rmtree(tmp_path / "models/a")
    await until(lambda: not engine.loaded)


async def test_an_idle_one_goes_when_the_disk_needs_its_room(start: Start) -> None:
    engine, residents, models = await start()
    await ask(residents, "a")
    await ask(residents, "b")
    models.shelf.wanted += 1
    models._announce()
    await until(lambda: len(engine.loaded) == 1)
    assert await ask(residents, "b") == "b"
    assert engine.loads == 2


async def test_who_leaves_while_it_loads_leaves_nothing_lent(start: Start, tmp_path: pathlib.Path) -> None:
    engine, residents, models = await start()
    engine.may_load.clear()
    waiting = [asyncio.ensure_future(ask(residents, "a")) for _ in range(3)]
    await until(lambda: engine.loads == 1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    engine.may_load.set()
    await until(lambda: "a" in {each.resolved.name for each in residents._loaded.values()})
    shutil.rmtree(tmp_path / "models/a")
    held = next(iter(models.catalog.candidates("a", "latest")))
    await until(lambda: not engine.loaded and not held.leases)
