"""Tells when a server or one of its models is no longer alive.

Three witnesses: the end of the process, what /proc says of it and its stubs (stopped, dead), and canary inferences to
models that have been quiet, because a process can be there and never answer. Triton itself notices a dead stub a second
later, in the answers it gives then (calls.py).
"""

import asyncio
import time
from collections.abc import Callable

from runtime.inference import InferError, InferRequest
from runtime.triton import checks, processes
from runtime.triton.calls import Calls
from runtime.triton.catalog import VERDICT_SECONDS, Catalog, Entry

_LOOK_SECONDS = 0.1
_PING_SECONDS = 0.4
_SERVER_SECONDS = 0.5


class Health:
    """`suspect(model)` hears of a model that does not answer; `away` and `back` of a server that does not, for now.

    Silence is first a doubt, which keeps new requests away, and only after seconds a verdict: on a machine that is busy
    beyond reason everything is late, and to kill what is late would make it later.
    """

    def __init__(
        self, catalog: Catalog, suspect: Callable[[str], None], away: Callable[[], None], back: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._catalog = catalog
        self._suspect = suspect
        self._away = away
        self._back = back
        self._changed = changed
        self._known: dict[int, processes.Stub] = {}
        self._asked: dict[str, asyncio.Task[None]] = {}

    async def watch(self, calls: Calls, tired: Callable[[], bool]) -> bool:
        """Until the server is dead (False) or `tired` says that it should be replaced (True)."""
        self._known = {}
        ping = asyncio.ensure_future(self._ping(calls))
        try:
            while True:
                waited: list[asyncio.Future[None]] = [calls.server.exited, ping]
                await asyncio.wait(waited, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if ping.done() or not calls.server.is_running:
                    return False
                self._look(calls)
                if tired():
                    return True
        finally:
            ping.cancel()
            for task in self._asked.values():
                task.cancel()

    async def _ping(self, calls: Calls) -> None:
        """Until the server does not answer for good."""
        while True:
            await asyncio.sleep(_PING_SECONDS)
            if await calls.server.live(_SERVER_SECONDS):
                continue
            self._away()
            if not await calls.server.live(VERDICT_SECONDS):
                return
            self._back()

    def _look(self, calls: Calls) -> None:
        found = processes.stubs(calls.server.process.pid)
        instances = {stub.instance for stub in found}
        for stub in found:
            self._known[stub.pid] = stub
            if not stub.healthy:
                self._accuse(stub.model)
        for pid in set(self._known) - {stub.pid for stub in found}:
            gone = self._known.pop(pid)
            if gone.instance not in instances:  # or it has a successor
                self._accuse(gone.model)
        for entry in self._catalog:
            due = entry.state == "READY" and entry.is_quiet and entry.name not in self._asked
            if due and checks.wants_canary(entry.config):
                task = asyncio.ensure_future(self._ask(calls, entry))
                self._asked[entry.name] = task
                task.add_done_callback(lambda _, name=entry.name: self._asked.pop(name, None))  # type: ignore[misc]

    def _accuse(self, model: str) -> None:
        entry = self._catalog.get(model)
        if entry is not None and (entry.state == "READY" or entry.doubted):
            self._suspect(model)

    async def _ask(self, calls: Calls, entry: Entry) -> None:
        """A canary; any answer will do, also an error: the zeros in it may mean nothing to the model."""
        limit = entry.patience
        canary = asyncio.ensure_future(answers(calls, entry, limit + VERDICT_SECONDS))
        try:
            await asyncio.wait([canary], timeout=limit)
            doubted = not canary.done() and entry.doubt()
            if doubted:
                self._changed()
            if not await canary:
                self._accuse(entry.name)
            elif doubted and entry.doubted:
                entry.ready()
                self._changed()
        finally:
            canary.cancel()


async def answers(calls: Calls, entry: Entry, limit: float) -> bool:
    """Whether the model answers a canary in time."""
    request = InferRequest(entry.name, "", "canary", checks.canary(entry, time.monotonic_ns() // 1000))
    try:
        async with asyncio.timeout(limit):
            await calls.infer(entry, "", request)
    except TimeoutError:
        return False
    except InferError as error:
        if error.reason == "WORKER_DIED":
            return False
        entry.sang(error=True)
        return True
    entry.sang(error=False)
    return True
