"""Whose change of a model server's models waits for whose."""

import asyncio
import contextlib

import pytest

from runtime.triton import turns


class Changes:
    """Each begins when its turn comes and ends when it is told to."""

    def __init__(self) -> None:
        self.turns = turns.Turns()
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def ask(self, what: str, *models: str) -> None:
        """For those models, or alone without any."""
        self._ends[what] = asyncio.Event()
        turn = self.turns.of(models) if models else self.turns.alone()
        self._tasks[what] = asyncio.ensure_future(self._run(what, turn))

    async def _run(self, what: str, turn: contextlib.AbstractAsyncContextManager[None]) -> None:
        async with turn:
            self.begun.append(what)
            await self._ends[what].wait()

    async def end(self, what: str) -> None:
        self._ends[what].set()
        await self._tasks[what]
        await settle()

    async def give_up(self, what: str) -> None:
        self._tasks[what].cancel()
        await asyncio.gather(self._tasks[what], return_exceptions=True)
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_models_go_side_by_side_and_changes_of_one_in_turn() -> None:
    changes = Changes()
    changes.ask("a", "a")
    changes.ask("b", "b")
    changes.ask("both", "a", "b")
    changes.ask("a again", "a")
    await settle()
    assert changes.begun == ["a", "b"]
    await changes.end("a")
    assert changes.begun == ["a", "b", "a again"]
    await changes.end("b")
    await changes.end("a again")
    assert changes.begun[3:] == ["both"]


async def test_a_change_of_servers_goes_alone() -> None:
    changes = Changes()
    changes.ask("a", "a")
    await settle()
    changes.ask("server")
    await settle()
    changes.ask("b", "b")
    changes.ask("another server")
    await settle()
    assert changes.begun == ["a"]
    await changes.end("a")
    assert changes.begun == ["a", "server"]
    await changes.end("server")
    await changes.end("b") if "b" in changes.begun else await changes.end("another server")
    assert sorted(changes.begun[2:]) == ["another server", "b"]


async def test_who_gives_up_holds_up_nobody() -> None:
    changes = Changes()
    changes.ask("a", "a")
    await settle()
    changes.ask("server")
    changes.ask("a again", "a")
    await settle()
    await changes.give_up("server")
    await changes.give_up("a again")
    changes.ask("b", "b")
    await settle()
    assert changes.begun == ["a", "b"]
    await changes.give_up("a")
    changes.ask("a once more", "a")
    await settle()
    assert changes.begun == ["a", "b", "a once more"]


async def test_a_model_that_hangs_does_not_hold_up_the_others_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_CLAIM_SECONDS", 0.01)
    monkeypatch.setattr(turns, "_LET_SECONDS", 0.01)
    changes = Changes()
    changes.ask("hangs", "a")
    await settle()
    changes.ask("server")
    await settle()
    changes.ask("b", "b")
    async with asyncio.timeout(10):
        while changes.begun != ["hangs", "b"]:
            await asyncio.sleep(0.001)
    await changes.end("b")
    await changes.end("hangs")
    async with asyncio.timeout(10):
        while changes.begun[2:] != ["server"]:
            await asyncio.sleep(0.001)
