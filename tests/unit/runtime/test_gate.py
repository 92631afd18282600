"""The queue before a model."""

import asyncio
import time

import pytest

from runtime import errors
from runtime.inference import InferError
from runtime.triton.gate import Bound, Gate


async def enter(gate: Gate, order: list[str], name: str, priority: int = 0, deadline: float = 0.0) -> None:
    async with gate.permit(deadline, priority):
        order.append(name)
        await asyncio.sleep(0)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_priority_first_then_order_of_arrival() -> None:
    gate, order = Gate(1, Bound(10)), list[str]()
    gate.open()
    async with gate.permit(0.0):
        tasks = [asyncio.ensure_future(enter(gate, order, n, p)) for n, p in (("a", 1), ("b", 0), ("c", 1), ("d", 0))]
        await settle()
        assert gate.queued == 4
    await asyncio.gather(*tasks)
    assert order == ["b", "d", "a", "c"] and gate.inside == 0


async def test_who_leaves_costs_nobody_a_permit() -> None:
    gate, order = Gate(1, Bound(10)), list[str]()
    gate.open()
    async with gate.permit(0.0):
        leaver = asyncio.ensure_future(enter(gate, order, "leaver"))
        stayer = asyncio.ensure_future(enter(gate, order, "stayer"))
        await settle()
        leaver.cancel()
        await settle()
    await stayer
    assert order == ["stayer"] and gate.inside == 0


async def test_a_permit_that_comes_as_the_caller_leaves_goes_on_to_the_next() -> None:
    bound = Bound(10)
    gate, order = Gate(1, bound), list[str]()
    gate.open()
    holder = gate.permit(0.0)
    await holder.__aenter__()
    leaver = asyncio.ensure_future(enter(gate, order, "leaver"))
    stayer = asyncio.ensure_future(enter(gate, order, "stayer"))
    await settle()
    await holder.__aexit__(None, None, None)  # gives the leaver its permit, which it has not seen yet
    leaver.cancel()
    await asyncio.wait([leaver, stayer], timeout=5)
    assert order == ["stayer"] and gate.inside == 0 and bound.held == 0


async def test_a_closed_gate_keeps_who_waits_and_an_open_one_lets_them_in() -> None:
    gate, order = Gate(2, Bound(10)), list[str]()
    gate.close()
    tasks = [asyncio.ensure_future(enter(gate, order, name)) for name in "ab"]
    await settle()
    assert order == []
    gate.open()
    await asyncio.gather(*tasks)
    assert sorted(order) == ["a", "b"]


async def test_refusals() -> None:
    bound = Bound(1)
    gate = Gate(1, bound)
    gate.open()
    async with gate.permit(0.0):
        with pytest.raises(InferError) as caught:
            async with gate.permit(0.0):
                pass
        assert caught.value.reason == "QUEUE_FULL"
    bound.limit = 10
    async with gate.permit(0.0):
        with pytest.raises(InferError) as caught:
            async with gate.permit(time.monotonic() + 0.01):
                pass
        assert caught.value.status == 504
    gate.close()
    waiting = asyncio.ensure_future(enter(gate, [], "a"))
    await settle()
    gate.give_up(errors.NOT_READY)
    with pytest.raises(InferError) as caught:
        await waiting
    assert caught.value.status == 503
    assert bound.held == 0


async def test_what_is_kept_takes_a_place_after_its_caller_and_is_not_counted_as_held() -> None:
    bound = Bound(1)
    gate, order = Gate(1, bound), list[str]()
    gate.open()
    async with gate.permit(0.0):
        gate.keep()
    assert gate.inside == 1 and bound.held == 0
    waiting = asyncio.ensure_future(enter(gate, order, "next"))
    await settle()
    assert gate.queued == 1 and order == []
    gate.leave()
    await waiting
    assert order == ["next"] and gate.inside == 0
