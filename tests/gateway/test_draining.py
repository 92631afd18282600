"""Before the gateway ends, whoever waits for an answer gets it, and whoever comes is asked to go elsewhere."""

import asyncio

from services.launcher import draining
from tests.gateway import replicas
from tests.gateway import rig as rigs


async def test_a_request_in_flight_is_answered_before_the_gateway_counts_as_drained(rig: rigs.Rig) -> None:
    answered = asyncio.Event()

    async def slow(_path: str, _body: bytes) -> replicas.Answer:
        await answered.wait()
        return 200, {}, b"late"

    async with replicas.started() as [replica]:
        replica.answer = slow
        await rig.publish(rigs.route("text", {"r1": (100, [replica.endpoint])}))
        asked = asyncio.create_task(rig.ask("/text"))
        await rigs.until(lambda: replica.requests, "the request at the replica")
        draining_it = asyncio.create_task(asyncio.to_thread(draining.drain, rig.admin_socket, timeout=30))
        async with asyncio.timeout(rigs.WAIT_SECONDS):
            while "connection" not in (served := await rig.ask("/nothing")).headers:
                await asyncio.sleep(0.01)
        assert (served.status, served.headers["connection"]) == (404, "close")
        assert not draining_it.done()
        answered.set()
        assert (await asked).body == b"late"
        assert await draining_it == 0
