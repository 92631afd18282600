"""One worker from its start to its end, and what it is doing meanwhile."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtime import fork_server, neuron, spawn
from runtime.link import Link
from runtime.shim import frames
from runtime.state_file import LoadFailure

if TYPE_CHECKING:
    from runtime.workers import Pool


class Life:
    """`state`: STARTING, READY, DRAINING, STOPPED (stands still: a signal, or a disk that does not answer) or DEAD."""

    def __init__(self, name: str, index: int, pool: "Pool") -> None:
        self.name = name
        self.index = index
        self.state = "STARTING"
        self.worker: spawn.Worker | None = None
        self.loaded = False
        self.load_seconds = 0.0
        self.born = time.monotonic()
        self.failure: LoadFailure | None = None  # why it never got ready
        self.cause: tuple[str, str] | None = None  # reason and text, where we ended it
        self.replace_for = ""  # why it is to be replaced
        self.settled = asyncio.Event()  # it is loaded, or will never be
        self.due = asyncio.Event()  # it is to be replaced, or is over
        self.over = asyncio.Event()
        self._pool = pool
        self._load_failure: tuple[str, str] | None = None
        self._heard = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self.worker.process.pid if self.worker is not None else None

    @property
    def running(self) -> bool:
        return self.worker is not None and not self.over.is_set()

    @property
    def link(self) -> Link:
        assert self.worker is not None
        return self.worker.link

    # What the link reports.

    def on_loaded(self, offer: Mapping[str, Any]) -> None:
        self.loaded = True
        self.load_seconds = time.monotonic() - self.born
        self.state = "READY"
        self._heard.set()
        self._pool.joined(self, offer)
        self.settled.set()

    def on_load_failed(self, reason: str, message: str) -> None:
        self._load_failure = (reason, message)
        self._heard.set()

    # Its course.

    async def run(self) -> None:
        """Until it is over."""
        pool = self._pool
        link = Link(pool.settings.threads, pool.dispatcher, self)
        try:
            self.worker = worker = await spawn.start(
                pool.make,
                name=self.name,
                link=link,
                setup={
                    **pool.settings.setup,
                    "bodies": pool.bodies,
                    "slot": self.index,
                    "slots": pool.settings.processes,
                    "environ": neuron.environ(*pool.settings.neuron_cores, pool.settings.processes, self.index),
                },
                log=pool.log,
                answers=pool.asks,
            )
        except fork_server.Unavailable as error:
            self.failure = LoadFailure(error.reason, str(error), None, time.time())
            self._end()
            return
        except OSError as error:
            text = f"cannot run {pool.settings.python}: {error}"
            self.failure = LoadFailure("CONSTRUCTOR_FAILED", text, None, time.time())
            self._end()
            return
        pool.watch.began(worker.process.pid)
        pool.on_launch()
        exited = asyncio.ensure_future(spawn.ended(worker.process))
        try:
            self.failure = await self._load(worker, exited)
            if self.failure is None:
                await exited
        finally:
            worker.kill()
            await exited
            pool.watch.ended(worker.process.pid)
            self._end()
            pool.left(self, worker)
            link.close()

    def _end(self) -> None:
        self.state = "DEAD"
        for event in (self.over, self.settled, self.due):
            event.set()

    async def _load(self, worker: spawn.Worker, exited: "asyncio.Future[None]") -> LoadFailure | None:
        heard = asyncio.ensure_future(self._heard.wait())
        limit = self._pool.settings.start_timeout
        try:
            waited: list[asyncio.Future[Any]] = [heard, exited]
            await asyncio.wait(waited, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            heard.cancel()
        if self.loaded:
            return None
        if self._load_failure is None and exited.done():
            # What it said last may still be on its way through the pipes.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self._heard.wait()
        code = worker.process.returncode
        if self._load_failure is not None:
            return LoadFailure(*self._load_failure, code, time.time())
        if not exited.done():
            text = f"the predictor did not load within {limit:g} s (start_timeout)"
            return LoadFailure("CONSTRUCTOR_FAILED", text, None, time.time())
        reason = "OUT_OF_MEMORY" if (self.cause or ("OUT_OF_MEMORY",))[0] == "OUT_OF_MEMORY" and code == -9 else ""
        text = f"the worker {self.end_text()} while it loaded the predictor\n{worker.tail}".strip()
        return LoadFailure(reason or "CONSTRUCTOR_FAILED", text, code, time.time())

    # What is done to it.

    def ask_for_successor(self, why: str) -> None:
        if not self.replace_for:
            self.replace_for = why
            self.due.set()

    def keep(self) -> None:
        """There is no successor; it goes on, and may be due again."""
        self.replace_for = ""
        if not self.over.is_set():
            self.due.clear()

    def retire(self, within: float) -> None:
        """No new calls; the end when it has answered those it has, or when the time is up."""
        if self.over.is_set():
            return
        self.state = "DRAINING"
        self._pool.dispatcher.retire(self.link)
        text = f"had not finished its requests {within:g} s after it was to be replaced"
        asyncio.get_running_loop().call_later(within, self.kill, "WORKER_DIED", text)

    def suspend(self) -> None:
        """It stands still, so that what it has begun is known."""
        worker = self.worker
        assert worker is not None
        begun = worker.begun
        frames.REVOKED.pack_into(worker.page, frames.REVOKED_AT, begun, worker.link.sent)
        self.state = "STOPPED"
        self._pool.dispatcher.suspend(worker.link, begun)
        self._pool.on_change()

    def resume(self) -> None:
        self.state = "DRAINING" if self.link.leaving else "READY"
        self._pool.dispatcher.resume(self.link)
        self._pool.on_change()

    def kill(self, reason: str, text: str) -> None:
        """`text` goes on after "the worker"."""
        if self.running and self.worker is not None:
            self.cause = (reason, text)
            self.worker.kill()

    def end_text(self) -> str:
        if self.cause is not None:
            return self.cause[1]
        return self.worker.exit_text() if self.worker is not None else "was not started"
