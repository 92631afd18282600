"""Whoever made an API waits until the gateways know it, and no longer."""

import asyncio

from services.apiserver import introduction, traffic
from tests.fakes import gateway as gateways
from tests.fakes import records
from tests.fakes.clock import FakeClock

SOON = 5.0
ROUTE = traffic.route(records.api(), (), known=(), idle_revision="r1")


def bench(longest: float = 60.0) -> tuple[gateways.FakeGateway, introduction.Introduction, FakeClock]:
    clock = FakeClock()
    gateway = gateways.FakeGateway(clock, ack_seconds=1.0)
    return gateway, introduction.Introduction(gateway, longest=longest), clock


async def test_it_waits_for_the_acknowledgement_of_the_route() -> None:
    gateway, made, clock = bench()
    waiting = asyncio.create_task(made.made(records.NAME))
    gateway.publish([ROUTE])
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(2.0)
    gateway.tick()
    await asyncio.wait_for(waiting, SOON)


async def test_a_route_that_is_known_costs_no_wait() -> None:
    gateway, made, clock = bench()
    gateway.publish([ROUTE])
    clock.advance(2.0)
    gateway.tick()
    await asyncio.wait_for(made.made(records.NAME), SOON)


async def test_it_waits_for_nobody() -> None:
    gateway, made, _ = bench()
    gateway.cut()
    await asyncio.wait_for(made.made(records.NAME), SOON)


async def test_it_does_not_wait_for_what_was_refused() -> None:
    gateway, made, _ = bench()
    gateway.rejected[records.NAME] = "no"
    await asyncio.wait_for(made.made(records.NAME), SOON)


async def test_a_silent_gateway_is_not_waited_for_long() -> None:
    _, made, _ = bench(longest=0.01)
    await asyncio.wait_for(made.made(records.NAME), SOON)
