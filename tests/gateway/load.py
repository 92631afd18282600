"""A steady caller: sends one request after the other on several connections and keeps every failure."""

import asyncio
import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import AsyncIterator

from tests.gateway import rig as rigs


@dataclasses.dataclass
class Load:
    """`served` counts answers by replica; `failures` holds anything that was not a 200."""

    served: Counter[str] = dataclasses.field(default_factory=Counter)
    failures: list[str] = dataclasses.field(default_factory=list)

    @property
    def sent(self) -> int:
        return self.served.total() + len(self.failures)


@contextlib.asynccontextmanager
async def steady(rig: rigs.Rig, path: str, *, callers: int = 4, pause: float = 0.002) -> AsyncIterator[Load]:
    """Leaving it waits for the requests under way, so that none is forgotten."""
    load, stop = Load(), asyncio.Event()

    async def call() -> None:
        while not stop.is_set():
            try:
                response = await rig.ask(path, b"{}")
            except Exception as error:
                load.failures.append(repr(error))
                continue
            if response.status == 200:
                load.served[json.loads(response.body)["replica"]] += 1
            else:
                load.failures.append(f"{response.status} {response.body!r}")
            await asyncio.sleep(pause)

    tasks = [asyncio.create_task(call()) for _ in range(callers)]
    try:
        yield load
    finally:
        stop.set()
        await asyncio.gather(*tasks)
