"""Seeded histories of deploys, scaling, kills and outages: no invariant breaks, and all comes to rest.

A failing seed is run again with `CORTEX_SIM_SEEDS=17 pytest tests/sim`.
"""

import os
import random

import pytest

from services.apiserver import model, observation, rollout
from tests.fakes.backend import Behaviour
from tests.sim.world import World

GIVEN = os.environ.get("CORTEX_SIM_SEEDS", "")
SEEDS = [int(seed) for seed in GIVEN.split(",")] if GIVEN else list(range(24))
NAMES = ("namespaces/default/apis/iris", "namespaces/team/apis/fraud")
BROKEN = (
    Behaviour(failure=model.Reason.IMPORT_FAILED),
    Behaviour(failure=model.Reason.CONSTRUCTOR_FAILED, start_seconds=0.3),
    Behaviour(dies_serving=True),
    Behaviour(start_seconds=10_000.0),
)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_random_history(seed: int) -> None:
    print(f"seed {seed}")
    world = World(seed)
    rng = random.Random(seed * 7919 + 1)
    for name in NAMES:
        await world.deploy(name, Behaviour())
    await world.run(5)
    for _ in range(rng.randrange(10, 25)):
        await disturb(world, rng)
        await world.run(rng.choice([0.4, 1.0, 3.0]))
    await settle(world)


async def disturb(world: World, rng: random.Random) -> None:
    name = rng.choice(NAMES)
    what = rng.choice(
        ["deploy", "deploy", "broken", "scale", "kill", "restart", "outage", "cut", "flaky", "delete", "wipe"]
    )
    if name not in world.store.apis or what == "deploy":
        await world.deploy(
            name, Behaviour(start_seconds=rng.choice([0.2, 1.0, 3.0]), drain_seconds=rng.choice([0.1, 4.0]))
        )
    elif what == "broken":
        await world.deploy(name, rng.choice(BROKEN))
    elif what == "scale":
        await world.scale(name, rng.randrange(0, 6))
    elif what == "kill":
        ready = [r for r in world.backend.real().values() if r.state is model.ReplicaState.READY]
        if ready:
            world.kill(rng.choice(sorted(ready, key=lambda r: r.id)))
    elif what == "restart":
        world.start_apiserver()
    elif what == "delete" and rng.random() < 0.5:
        await world.delete(name)
    else:
        await outage(world, what, rng)


async def outage(world: World, what: str, rng: random.Random) -> None:
    seconds = rng.choice([1.0, 5.0, 15.0])
    if what == "outage":
        world.backend.silent = True
        await world.run(seconds)
        world.backend.silent = False
    elif what == "cut":
        world.gateway.cut()
        await world.run(seconds)
        world.gateway.mend()
    elif what == "flaky":
        world.store.failing = 0.5
        await world.run(seconds)
        world.store.failing = 0.0
    elif what == "wipe" and rng.random() < 0.3:
        for name in NAMES:
            world.disturb(name)
        world.backend.wipe()


async def settle(world: World) -> None:
    """Nothing happens any more: everything must come to what the records say."""
    for _ in range(40):
        await world.run(5)
        if all(at_rest(world, name) for name in world.store.apis) and not strangers(world):
            break
    for name, api in world.store.apis.items():
        status = world.board.statuses[name]
        assert at_rest(world, name), (api, status, world.envoy.routes.get(name), world.backend.real())
    assert strangers(world) == []
    before, writes = len(world.gateway.published), world.store.writes
    if all(api.serving_revision in world.good for api in world.store.apis.values()):
        await world.run(20)
        assert (len(world.gateway.published), world.store.writes) == (before, writes), "a world at rest is left alone"


def at_rest(world: World, name: str) -> bool:
    api = world.store.apis[name]
    if api.delete_time is not None or rollout.in_progress(api):
        return False
    if api.serving_revision not in world.good:
        # A first deployment that failed keeps trying; there is no rest, only a record that says so.
        return not api.serving_revision or (api.rollout is not None and api.rollout.state is model.RolloutState.FAILED)
    alive = [r for r in world.backend.real().values() if r.api == name]
    right = [r for r in alive if r.revision == api.serving_revision and observation.ready(r)]
    route = world.envoy.routes.get(name)
    routed = observation.endpoint_ids(route) == {r.id for r in alive}
    return len(alive) == len(right) == rollout.wanted(api) and routed


def strangers(world: World) -> list[str]:
    return [r.id for r in world.backend.real().values() if r.api not in world.store.apis]
