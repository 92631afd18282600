"""Who may enter a model, and in what order: a permit per request it can run, everybody else waits here.

Triton's own queue answers late (a 100 ms limit behind a 300 ms execution took 320 ms) and now and then stands still, so
nothing waits there: deadlines, priority and the bound of the queue are kept on this side.
"""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator

from runtime import errors
from runtime.inference import InferError

# While a model is being replaced its callers wait this long before they are better off elsewhere.
RECOVERY_SECONDS = 10.0


def refusal(failure: errors.Failure) -> InferError:
    """Without the headers by which the gateway sends a request of a predictor again."""
    return InferError.of(failure._replace(headers=()))


class Bound:
    """Requests a replica holds in all, running and waiting."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        if self.held >= self.limit:
            raise refusal(errors.QUEUE_FULL)
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1


class Gate:
    """One model's permits. Closed while the model is away; those who wait then are served when it is back."""

    def __init__(self, permits: int, bound: Bound, now: Callable[[], float] = time.monotonic) -> None:
        self.permits = permits
        self.inside = 0
        self._bound = bound
        self._now = now
        self._open = False
        self._gone: errors.Failure | None = None  # why nobody is to wait any longer
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._patience: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def queued(self) -> int:
        return sum(1 for _, _, future in self._waiting if not future.done())

    @contextlib.asynccontextmanager
    async def permit(self, deadline: float, priority: int = 0) -> AsyncIterator[None]:
        """Held while the model runs the request. Lower `priority` goes first. Raises InferError 503 or 504."""
        with self._bound.counted():
            await self._enter(deadline, priority)
            try:
                yield
            finally:
                self.leave()

    def open(self) -> None:
        self._open, self._gone = True, None
        self._stop_patience()
        self._admit()

    def close(self) -> None:
        """Lets nobody in until `open`; who waits is sent away when that takes too long."""
        self._open = False
        if self._patience is None and self._gone is None:
            self._patience = asyncio.get_running_loop().call_later(RECOVERY_SECONDS, self.give_up, errors.NOT_READY)

    def give_up(self, failure: errors.Failure) -> None:
        """Sends away all who wait, and who comes from now on."""
        self._open, self._gone = False, failure
        self._stop_patience()
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(refusal(failure))

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    async def _enter(self, deadline: float, priority: int) -> None:
        if self._gone is not None:
            raise refusal(self._gone)
        if self._open and self.inside < self.permits and not self._waiting:
            self.inside += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), future))
        timer = None
        if deadline:
            # From this moment's clock: the loop's stands still for a millisecond and more.
            left = max(0.0, deadline - self._now())
            timer = asyncio.get_running_loop().call_later(left, _expire, future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave()  # the permit came at the moment the caller left
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def keep(self) -> None:
        """The work of a caller who leaves goes on: one more permit is taken, until `leave`."""
        self.inside += 1

    def leave(self) -> None:
        self.inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._open and self._waiting and self.inside < self.permits:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                self.inside += 1
                future.set_result(None)
        # Those who left keep their place in the heap until it is their turn; not for ever.
        if len(self._waiting) > 64 and self.queued * 2 < len(self._waiting):
            self._waiting = [entry for entry in self._waiting if not entry[2].done()]
            heapq.heapify(self._waiting)


def _expire(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_exception(refusal(errors.DEADLINE))
