"""Configuration changes under load: nobody who calls may notice."""

import contextlib

from services.apiserver import model
from tests.gateway import load, replicas
from tests.gateway import rig as rigs


async def test_ten_rollouts_in_a_row_fail_no_request(rig: rigs.Rig) -> None:
    """Each adds a cluster, moves the weight and removes the other; a replica dies as soon as the gateway lets it go."""
    async with contextlib.AsyncExitStack() as stack:
        [current] = await stack.enter_async_context(replicas.started())
        await rig.publish(rigs.route("text", {"r0": (100, [current.endpoint])}))
        async with load.steady(rig, "/text") as calls:
            for number in range(1, 11):
                [following] = await stack.enter_async_context(replicas.started())
                old, new = f"r{number - 1}", f"r{number}"
                for weight in (0, 50, 100):
                    parts = {old: (100 - weight, [current.endpoint]), new: (weight, [following.endpoint])}
                    await rig.publish(rigs.route("text", parts))
                rig.gateway.publish([rigs.route("text", {new: (100, [following.endpoint])})])
                await _released(rig, current)
                await current.kill()
                await _served(calls, following)
                current = following
        assert calls.failures == [] and calls.sent > 100


async def test_an_abrupt_switch_warms_first_and_removes_last(rig: rigs.Rig) -> None:
    """Old and new revision change places in one publication, twenty times."""
    async with replicas.started(2) as both:
        await rig.publish(rigs.route("text", {"r0": (100, [both[0].endpoint])}))
        async with load.steady(rig, "/text") as calls:
            for number in range(1, 21):
                replica = both[number % 2]
                rig.gateway.publish([rigs.route("text", {f"r{number}": (100, [replica.endpoint])})])
                await rig.settled()
        assert calls.failures == [] and min(calls.served[replica.name] for replica in both) > 0


async def test_replicas_come_and_go_without_a_failure(rig: rigs.Rig) -> None:
    async with replicas.started(4) as all_of_them:
        await rig.publish(_scaled("text", all_of_them))
        async with load.steady(rig, "/text") as calls:
            for count in (1, 4, 2, 3, 1):
                await rig.publish(_scaled("text", all_of_them[:count]))
                for replica in all_of_them[count:]:
                    await replica.kill()
                for replica in all_of_them[:count]:
                    await _served(calls, replica)
                for replica in all_of_them[count:]:
                    await replica.start()
        assert calls.failures == []


async def test_two_hundred_apis_come_and_go_beside_one_that_serves(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:
        mine = rigs.route("text", {"r1": (100, [replica.endpoint])})
        others = [rigs.route(f"other-{n}", {"r1": (100, [replica.endpoint])}) for n in range(200)]
        await rig.publish(mine)
        async with load.steady(rig, "/text") as calls:
            for count in (200, 0, 100, 150, 50):
                await rig.publish(mine, *others[:count])
                expected = [200] * count + [404] * (200 - count)
                sample = range(0, 200, 33)
                assert [(await rig.ask(f"/other-{n}")).status for n in sample] == [expected[n] for n in sample]
        assert calls.failures == [] and calls.sent > 50


async def test_the_connections_of_a_revision_survive_changes_of_other_apis_and_replicas(rig: rigs.Rig) -> None:
    """A cluster that is built anew loses its connections: that must not be the price of scaling."""
    async with replicas.started(2) as [first, second]:
        await rig.publish(_scaled("text", [first]))
        await rig.ask("/text")
        await rig.publish(_scaled("text", [first, second]), _scaled("other", [second]))
        await rig.publish(_scaled("text", [first]))
        await rig.ask("/text")
        name = "cluster.namespaces/default/apis/text/revisions/r1.upstream_cx_total"
        assert await rig.stat(name) == 1


def _scaled(api: str, hosts: list[replicas.Replica]) -> model.Route:
    return rigs.route(api, {"r1": (100, [replica.endpoint for replica in hosts])})


async def _released(rig: rigs.Rig, replica: replicas.Replica) -> None:
    def released() -> bool:
        in_use = rig.gateway.view().in_use
        return in_use is not None and replica.name not in in_use

    await rigs.until(released, f"the gateway to let go of {replica.name}")


async def _served(calls: load.Load, replica: replicas.Replica) -> None:
    seen = calls.served[replica.name]
    await rigs.until(lambda: calls.served[replica.name] > seen, f"an answer of {replica.name}; {calls}")
