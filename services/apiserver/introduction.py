"""Waiting until the gateways know a new API, so that whoever made it may call it at once.

Before its route is there, a call to the new endpoint is answered with 404; behind it, the call waits for the first
replica. The wait is short and bounded: a gateway that is slow, away or refuses must not keep an API from being made.
"""

import asyncio

from services.apiserver import ports

LONGEST_SECONDS = 2.0


class Introduction:
    def __init__(self, gateway: ports.GatewayPort, *, longest: float = LONGEST_SECONDS) -> None:
        self._gateway = gateway
        self._longest = longest
        self._waiting: dict[str, set[asyncio.Event]] = {}
        gateway.on_change(self._changed)

    async def made(self, api: str) -> None:
        """Returns once every connected gateway has acknowledged the route of `api`, or when that is not to be had."""
        bell = asyncio.Event()
        self._waiting.setdefault(api, set()).add(bell)
        try:
            async with asyncio.timeout(self._longest):
                while self._pending(api):
                    await bell.wait()
                    bell.clear()
        except TimeoutError:
            return
        finally:
            self._waiting[api].discard(bell)
            if not self._waiting[api]:
                del self._waiting[api]

    def _pending(self, api: str) -> bool:
        view = self._gateway.view()
        return view.connected and api not in view.acked and api not in view.rejected

    def _changed(self, api: str) -> None:
        for bell in self._waiting.get(api, ()):
            bell.set()
