"""The loop over many APIs on a virtual clock: what is written, when, and what survives lost samples."""

import asyncio
import dataclasses
import random

from services.autoscaler import ancestor, catalog, gateways, model, scaler
from services.chassis import errors

A, B = "namespaces/default/apis/a", "namespaces/default/apis/b"
FAST = model.Scaling(window=10.0, upscale_stabilization_period=0.0, downscale_stabilization_period=0.0)


@dataclasses.dataclass(slots=True)
class Time:
    passed: float = 0.0

    def now(self) -> float:
        return 1_000_000.0 + self.passed

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds
        await asyncio.sleep(0)


class Writes:
    """An apiserver that starts every replica at once, fails while told to, and can be slow."""

    def __init__(self, known: catalog.Catalog) -> None:
        self._catalog = known
        self.made: list[tuple[str, int]] = []
        self.failing = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def scale(self, api: str, desired: int, reason: str) -> None:
        await self.gate.wait()
        if self.failing:
            raise errors.Unavailable("the apiserver is away")
        assert reason
        self.made.append((api, desired))
        known = self._catalog.get(api)
        assert known is not None
        self._catalog.put(dataclasses.replace(known, desired=desired, ready=desired, routable=desired))


class Rig:
    def __init__(self, *names: str, scaling: model.Scaling = FAST) -> None:
        self.time, self.known, self.load = Time(), catalog.Catalog(), gateways.Gateways()
        self.writes = Writes(self.known)
        self.scaler = scaler.Scaler(
            rule=ancestor.Ancestor(),
            known=self.known,
            load=self.load,
            scales=self.writes,
            time=self.time,
            interval=1.0,
        )
        for name in names:
            self.known.put(model.Api(name, f"uid-{name}", scaling, 120.0, 1, 1, 1))
        self.known.connected(0.0)
        self.load.arrived(1, "gw")

    async def second(self, in_flight: dict[str, int] | None) -> None:
        """Two reports (or none) and a tick."""
        for half in (0.5, 0.5):
            self.time.passed += half
            if in_flight is not None:
                self.load.report(1, in_flight, self.time.passed)
        await self.scaler.tick()
        if self.writes.gate.is_set():
            await self.scaler.settled()

    def replicas(self, name: str) -> int:
        api = self.known.get(name)
        assert api is not None
        return api.desired


async def test_each_api_follows_its_own_load() -> None:
    rig = Rig(A, B)
    for _ in range(30):
        await rig.second({A: 4})
    assert (rig.replicas(A), rig.replicas(B)) == (4, 1)
    assert rig.writes.made == [(A, 2), (A, 3), (A, 4)]


async def test_a_failed_write_is_made_again_a_second_later() -> None:
    rig = Rig(A)
    rig.writes.failing = True
    for _ in range(3):
        await rig.second({A: 2})
    rig.writes.failing = False
    await rig.second({A: 2})
    assert rig.writes.made == [(A, 2)]


async def test_one_write_per_api_at_a_time() -> None:
    rig = Rig(A)
    rig.writes.gate.clear()
    for _ in range(5):
        await rig.second({A: 9})
    rig.writes.gate.set()
    await rig.scaler.settled()
    assert rig.writes.made == [(A, 2)]


async def test_half_of_the_samples_lost_changes_nothing_much() -> None:
    rng = random.Random(7)
    rig = Rig(A)
    seen = []
    for second in range(300):
        await rig.second({A: 6} if rng.random() < 0.5 else None)
        if second > 30:
            seen.append(rig.replicas(A))
    assert set(seen) == {6}


async def test_a_silent_gateway_beside_a_talking_one() -> None:
    rig = Rig(A)
    rig.load.arrived(2, "other")
    for _ in range(20):
        rig.load.report(2, {A: 3}, rig.time.passed + 1.0)
        await rig.second({A: 3})
    assert rig.replicas(A) == 6
    for _ in range(4):
        await rig.second({A: 3})
    assert rig.replicas(A) == 6


async def test_nothing_is_written_while_the_apiserver_is_silent() -> None:
    rig = Rig(A)
    await rig.second({A: 1})
    rig.known.disconnected(rig.time.passed)
    for _ in range(10):
        await rig.second({A: 1})
    for _ in range(20):
        await rig.second({A: 50})
    assert rig.writes.made == []
    kept = rig.scaler.decisions(A)
    assert kept is not None
    newest = kept.newest()
    assert newest is not None and newest.decision.seen.blindness is model.Blindness.APISERVER_SILENT


async def test_a_new_api_of_an_old_name_starts_afresh_and_a_deleted_one_is_forgotten() -> None:
    rig = Rig(A)
    for _ in range(5):
        await rig.second({A: 1})
    old = rig.known.get(A)
    assert old is not None
    rig.known.put(dataclasses.replace(old, uid="another"))
    await rig.second({A: 1})
    kept = rig.scaler.decisions(A)
    assert kept is not None and [record.first for record in kept.newest_first()] == [1_000_006.0]
    rig.known.remove(A)
    await rig.second({})
    assert rig.scaler.decisions(A) is None


async def test_an_api_on_its_way_out_is_left_alone() -> None:
    rig = Rig(A)
    old = rig.known.get(A)
    assert old is not None
    rig.known.put(dataclasses.replace(old, deleting=True))
    for _ in range(5):
        await rig.second({A: 9})
    assert rig.writes.made == []


async def test_the_loop_keeps_its_pace_and_survives_a_late_tick() -> None:
    rig = Rig(A)
    running = asyncio.ensure_future(rig.scaler.run())
    while rig.time.passed < 5.0:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert rig.time.passed == int(rig.time.passed)
