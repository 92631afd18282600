"""Cancellations that cross what they cancel, inside a worker."""

import asyncio
import mmap
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.shim import async_engine, control, encode, frames


@pytest.fixture
def registry() -> control.Registry:
    return control.Registry(mmap.mmap(-1, mmap.PAGESIZE))


def test_one_that_a_slower_thread_has_read_but_not_begun(registry: control.Registry) -> None:
    assert registry.take(control.Job(1)) and registry.take(control.Job(4))
    for number in (1, 2, 4):
        registry.cancel(number)
    assert (registry.take(control.Job(2)), registry.take(control.Job(3))) == (False, True)
    registry.forget(control.Job(3))
    registry.cancel(3)  # over already: nothing is kept of it
    assert not registry._passed and not registry._skip


class Wire:
    def __init__(self) -> None:
        self._decoder = frames.Decoder()
        self.told: set[tuple[int, int]] = set()

    def write(self, data: bytes) -> None:
        self.told.update((kind, number) for kind, number, _, _ in self._decoder.feed(data))


class Executor:
    """Of a predictor that never returns, and whose second call of a batch is malformed."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        method = SimpleNamespace(run=self._run, is_async=True)
        self.contract = SimpleNamespace(pre=None, post=None, verbs={"POST": method})

    async def _run(self, payload: list[int]) -> None:
        self.running.set()
        await asyncio.Event().wait()

    def prepare(self, request: Any) -> Any:
        if request.number == 2:
            raise ValueError("malformed")
        return None, {"payload": request.number}

    def failed(self, error: BaseException, request: Any) -> encode.Encoded:
        return encode.Encoded(400, "text/plain", b"")

    def keeps_permit(self, result: Any) -> bool:
        return True


@pytest.mark.parametrize("early", [True, False])
async def test_every_call_of_a_batch_is_heard_of(registry: control.Registry, early: bool) -> None:
    wire, executor = Wire(), Executor()
    engine = async_engine.Engine(executor, registry, None, 1)  # type: ignore[arg-type]  # only what a batch needs
    engine.connection_made(wire)
    head = frames.request_head([b"POST", b"/", b"", b"", b"id", b""])
    batch = [frames.pack(frames.BATCH, 1, frames.COUNT_HEAD.pack(3))]
    engine.data_received(b"".join(batch + [frames.pack(frames.REQUEST, number, head) for number in (1, 2, 3)]))
    async with asyncio.timeout(5):
        if not early:  # else before the first step of its task
            await executor.running.wait()
        for number in (1, 2, 3):
            registry.cancel(number)
        while engine._jobs:
            await asyncio.sleep(0)
    assert {(frames.RELEASE, number) for number in (1, 2, 3)} <= wire.told
    assert not any(registry.holds(number) for number in (1, 2, 3))
