"""What others see of a gateway while its stream begins."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from services import xds_types
from services.apiserver.xds import ads, gateway, kinds, listener
from services.chassis import clock


async def test_one_that_comes_back_is_never_taken_for_one_that_sends_requests_nowhere() -> None:
    """Else the replicas that it sends them to could be stopped under it."""
    clocks = clock.SystemClock()
    found = gateway.Gateway(listener.Options("127.0.0.1:1", ""), clocks)
    over = asyncio.Event()

    async def requests() -> AsyncIterator[Any]:
        kind = xds_types.message("envoy.service.discovery.v3.DiscoveryRequest")
        yield kind(node={"id": "one"}, type_url=kinds.Kind.CLUSTER.type_url, version_info="what it holds")
        await over.wait()

    stream = ads.Ads(found, clocks).stream(requests(), None)
    reading = asyncio.ensure_future(anext(stream, None))
    seen: list[object] = []
    while len(seen) < 10:
        await asyncio.sleep(0)
        view = found.view()
        if view.connected:
            seen.append(view.in_use)
    over.set()
    await reading
    assert seen == [None] * 10
