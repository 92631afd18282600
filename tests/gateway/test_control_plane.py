"""The control plane dies, returns, errs; the gateway restarts: what serves keeps serving."""

import asyncio
import contextlib
import functools
import json
import pathlib

from services.apiserver import model
from services.launcher import rotation
from tests.gateway import load, replicas
from tests.gateway import rig as rigs


async def test_a_restart_of_the_control_plane_sends_nothing_again(rig: rigs.Rig) -> None:
    async with replicas.started(2) as [first, second]:
        routes = [_route("one", "r1", first), _route("two", "r1", second)]
        await rig.publish(*routes, _route("gone", "r1", first))
        await rig.publish(*routes)
        versions = _versions(rig)
        attempts = await _updates(rig)
        async with load.steady(rig, "/one") as calls:
            await rig.stop_control_plane()
            seen = calls.sent
            await rigs.until(lambda: calls.sent > seen + 50, "traffic without a control plane")
            await rig.start_control_plane()
            await rigs.until(lambda: rig.gateway.view().connected, "the gateway to return")
            assert rig.gateway.view().in_use is None and not rig.gateway.statuses()[0].in_sync
            await rig.publish(*routes)
        assert calls.failures == []
        assert await _updates(rig) == attempts and _versions(rig) == versions
        view = rig.gateway.view()
        assert view.in_use == frozenset({first.name, second.name}) and dict(view.acked) == {it.api: it for it in routes}


async def test_what_changed_while_the_control_plane_was_away_arrives_without_an_error(rig: rigs.Rig) -> None:
    """The old revision's cluster is unknown to the new process, and must outlive the routes that lead to it."""
    async with replicas.started(2) as [old, new]:
        await rig.publish(_route("text", "r1", old))
        async with load.steady(rig, "/text") as calls:
            for number in range(2, 7):
                await rig.stop_control_plane()
                await rig.start_control_plane()
                rig.gateway.publish([_route("text", f"r{number}", [old, new][number % 2])])
                await rig.settled()
        assert calls.failures == [] and len(calls.served) == 2


async def test_refused_routes_are_told_in_the_gateways_words_and_the_last_good_ones_stay(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:
        good = _route("text", "r1", replica)
        await rig.publish(good)
        bad = rigs.route("bad", {"r1": (100, [replica.endpoint])}, request_timeout=1e12)
        rig.gateway.publish([good, bad])
        words = await rigs.until(lambda: rig.gateway.view().rejected.get(bad.api), "the refusal")
        assert "duration" in words.lower()
        view = rig.gateway.view()
        assert view.acked == {good.api: good} and list(view.rejected) == [bad.api]
        [status] = rig.gateway.statuses()
        [table] = [one for one in status.resources if one.type == "ROUTE"]
        assert table.error and table.nack_time and table.sent_version != table.acked_version and not status.in_sync
        assert (await rig.ask("/text")).status == 200
        await rig.publish(good)
        assert rig.gateway.view().rejected == {}


async def test_a_route_that_cannot_be_built_leaves_the_one_before(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:
        good = _route("text", "r1", replica)
        await rig.publish(good)
        broken = rigs.route("text", {"r2": (70, [replica.endpoint])})
        await rig.publish(broken)
        assert (await rig.ask("/text")).status == 200
        view = rig.gateway.view()
        assert view.acked == {good.api: good} and "do not sum to 100" in view.rejected[good.api]


async def test_a_gateway_that_restarts_never_answers_404_for_an_api(rig: rigs.Rig) -> None:
    """It opens its port only when it has everything, even where the control plane keeps it waiting."""
    async with replicas.started() as [replica]:
        routes = [_route("text", "r1", replica), *(_route(f"other-{n}", "r1", replica) for n in range(50))]
        await rig.publish(*routes)
        await rig.stop_control_plane()
        rig.stop_envoy()
        await rigs.until(lambda: not rig.gateway.view().connected, "the end of the stream")
        assert rig.gateway.view().in_use is None
        rig.start_envoy()
        await _live(rig)
        await rig.start_control_plane()
        await rigs.until(lambda: rig.gateway.view().connected, "the gateway to come back")
        rig.gateway.publish(routes)
        codes: list[int | str] = []
        while 200 not in codes:
            try:
                codes.append((await rig.ask("/text")).status)
            except ConnectionRefusedError:
                codes.append("closed")
        assert set(codes) <= {"closed", 200}


async def test_a_gateway_lost_is_kept_in_mind(rig: rigs.Rig) -> None:
    async with replicas.started() as [replica]:
        await rig.publish(_route("text", "r1", replica))
        rig.changes.clear()
        rig.stop_envoy()
        await rigs.until(lambda: not rig.gateway.view().connected, "the end of the stream")
        view = rig.gateway.view()
        assert (view.acked, view.in_use) == ({}, None) and view.last_seen is not None
        assert [status.connected for status in rig.gateway.statuses()] == [False]
        assert rig.changes == ["namespaces/default/apis/text"]


async def test_the_listener_of_changes_hears_each_step_of_an_api_and_of_no_other(rig: rigs.Rig) -> None:
    async with replicas.started(2) as [first, second]:
        await rig.publish(_route("text", "r1", first), _route("other", "r1", first))
        rig.changes.clear()
        await rig.publish(_route("text", "r1", second), _route("other", "r1", first))
        assert set(rig.changes) == {"namespaces/default/apis/text"}
        assert json.loads((await rig.ask("/text")).body)["replica"] == second.name


async def _live(rig: rigs.Rig) -> None:
    """Envoy has given up waiting for the control plane, and serves what its bootstrap holds."""
    async with asyncio.timeout(rigs.WAIT_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                if "LIVE" in await rig.admin("/ready"):
                    return
            await asyncio.sleep(0.02)


async def _updates(rig: rigs.Rig) -> dict[str, int]:
    """Responses the gateway has taken, by kind of resource; a repeated one counts too."""
    names = {
        "CLUSTER": "cluster_manager.cds.update_success",
        "LISTENER": "listener_manager.lds.update_success",
        "ROUTE": "http.data.rds.data.update_success",
        "ENDPOINT": "cluster.namespaces/default/apis/one/revisions/r1.update_success",
    }
    return {kind: await rig.stat(name) for kind, name in names.items()}


def _versions(rig: rigs.Rig) -> dict[str, str]:
    return {one.type: one.acked_version for one in rig.gateway.statuses()[0].resources}


def _route(api: str, revision: str, replica: replicas.Replica) -> model.Route:
    return rigs.route(api, {revision: (100, [replica.endpoint])})


async def test_the_access_log_is_rotated_without_losing_a_line(rig: rigs.Rig, tmp_path: pathlib.Path) -> None:
    async with replicas.started() as [replica]:
        await rig.publish(rigs.route("text", {"r1": (100, [replica.endpoint])}))
        logs = [rig.access_log, rig.access_log.with_name("access.log.1")]
        await rig.ask("/text/before")
        await rigs.until(lambda: rig.access_log.exists() and rig.access_log.stat().st_size, "the first line")
        reopen = functools.partial(rotation.reopen_logs, rig.admin_socket)
        await asyncio.to_thread(rotation.rotate, tmp_path, reopen, most=1)
        await rig.ask("/text/after")
        await rigs.until(lambda: logs[0].exists() and "/text/after" in logs[0].read_text(), "the line after it")
        assert "/text/before" in logs[1].read_text() and "/text/before" not in logs[0].read_text()
