"""Ensembles are closed while a model that they are made of is away, and open when all are back."""

import os
import pathlib
import types
from typing import Any

import pytest

from runtime.triton import catalog, supervisor
from runtime.triton.engine import LoadError
from runtime.triton.repository import Source

MEMBERS = {"outer": ("inner", "b"), "inner": ("a", "b"), "a": (), "b": ()}


class Calls:
    """Of a server that cannot load the models in `broken`."""

    def __init__(self) -> None:
        self.server = types.SimpleNamespace(process=types.SimpleNamespace(pid=os.getpid()))
        self.broken: set[str] = set()
        self.cut_off = False

    async def load(self, name: str, timeout: float) -> None:
        if name in self.broken:
            raise LoadError("no memory")

    async def unload(self, name: str) -> None:
        """Is gone."""


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> supervisor.Supervisor:
    async def answers(*given: Any) -> bool:
        return True

    monkeypatch.setattr(supervisor, "lay_out", lambda *given: None)
    monkeypatch.setattr(supervisor, "answers", answers)
    models = catalog.Catalog(10)
    for name, members in MEMBERS.items():
        steps = {"ensemble_scheduling": {"step": [{"model_name": inner} for inner in members]}} if members else {}
        entry = models.make(Source(name, {1: pathlib.Path("/models") / name}, {}), {"name": name, **steps})
        models.commit(entry)
        entry.ready()
    place: Any = types.SimpleNamespace(repository=pathlib.Path("/repository"))
    log: Any = types.SimpleNamespace(say=lambda *given: None, line=lambda *given, **more: None)
    watch: Any = None
    found = supervisor.Supervisor(place, models, log, watch, lambda: None, load_timeout=1.0)
    found._calls = Calls()  # type: ignore[assignment]
    found._backoff = types.SimpleNamespace(delay=lambda *given: 0.0)  # type: ignore[assignment]
    return found


def states(served: supervisor.Supervisor) -> dict[str, str]:
    return {entry.name: entry.state for entry in served._catalog}


def entry(served: supervisor.Supervisor, name: str) -> catalog.Entry:
    found = served._catalog.get(name)
    assert found is not None
    return found


async def healed(served: supervisor.Supervisor, name: str) -> None:
    await served._healing[name]


async def test_one_that_is_back_opens_those_around_it(served: supervisor.Supervisor) -> None:
    served.suspect("a")
    assert states(served) == {"outer": "LOADING", "inner": "LOADING", "a": "LOADING", "b": "READY"}
    await healed(served, "a")
    assert set(states(served).values()) == {"READY"} and entry(served, "outer").gate.is_open


async def test_of_two_that_are_away_the_last_does(served: supervisor.Supervisor) -> None:
    served.suspect("a")
    b = entry(served, "b")
    b.gate.close()
    b.state, b.reason = "LOADING", "a process of the model died; it is being replaced"
    await healed(served, "a")
    assert states(served) == {"outer": "LOADING", "inner": "LOADING", "a": "READY", "b": "LOADING"}
    await served.load(b, replaces=False)
    assert set(states(served).values()) == {"READY"}


async def test_one_that_could_not_be_healed_does_when_it_is_loaded_later(served: supervisor.Supervisor) -> None:
    calls: Any = served._calls
    calls.broken.add("a")
    served.suspect("a")
    await healed(served, "a")
    assert states(served) == {"outer": "LOADING", "inner": "LOADING", "a": "UNAVAILABLE", "b": "READY"}
    calls.broken.clear()
    await served.load(entry(served, "a"), replaces=False)
    assert set(states(served).values()) == {"READY"} and entry(served, "inner").gate.is_open
