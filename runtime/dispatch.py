"""Which call goes to which worker, and when: bounded admission, one queue, the least loaded worker first.

Every call that is admitted ends exactly once, whatever happens: answer, failure, deadline, or a caller who leaves.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from runtime import errors, tracing
from runtime.batcher import Batcher
from runtime.calls import DONE, QUEUED, RUNNING, Call
from runtime.config import Batching
from runtime.deadlines import Deadlines
from runtime.link import Link
from runtime.metrics import Metrics
from runtime.shim import frames
from runtime.waiting import Waiting

CLIENT_LEFT = 499
# Not the loop's time, which stands still for a millisecond and more; what we measure is shorter than that.
_now = time.monotonic
# With no worker left, callers wait this long for the restart before they are sent elsewhere.
_RECOVERY_SECONDS = 10.0
# Of the verbs, the one whose calls may be batched.
_BATCHED = b"POST"
# A call whose worker dies in its third try is more likely to be the cause than a victim.
_LAST_REPEATED_ATTEMPT = 2


class Dispatcher:
    """Owned by the event loop; nothing here waits."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        limit: int,
        request_timeout: float,
        metrics: Metrics,
        spans: tracing.Spans | None,
        batching: Batching | None = None,
    ) -> None:
        self._loop = loop
        self._limit = limit
        self.request_timeout = request_timeout
        self.metrics = metrics
        self._spans = spans
        self._deadlines = Deadlines(loop, request_timeout, self._expired)
        self._queue = Waiting()
        self.batcher = Batcher(batching, loop, self._send_batches) if batching is not None else None
        self._links: list[Link] = []
        self._recovery: asyncio.TimerHandle | None = None
        self.in_flight = 0
        self.on_idle: Callable[[], None] = lambda: None
        self.offer: Mapping[str, Any] = {}  # what the predictor offers, once a worker has said so
        self.verbs: tuple[str, ...] = ()
        self.absent = errors.NOT_READY  # what to say while there is no worker
        self.wants_headers = True  # whether anybody will read the callers' headers
        self._wants_deadlines = False

    @property
    def queued(self) -> int:
        return len(self._queue) + (len(self.batcher) if self.batcher is not None else 0)

    def deadline(self, began: float, asked: float | None) -> float:
        """The absolute deadline: the shorter of what the caller asked for and what the API allows; 0 for none."""
        if asked is None:
            return began + self.request_timeout if self.request_timeout else 0.0
        return began + (min(asked, self.request_timeout) if self.request_timeout else asked)

    def submit(self, call: Call) -> None:
        """Takes a call; it hears of its end, perhaps before this returns."""
        if not self._links and self._recovery is None:
            self._refuse(call, self.absent)
            return
        if self.in_flight >= self._limit:
            self._refuse(call, errors.QUEUE_FULL)
            return
        self.in_flight += 1
        if self._spans is not None:
            self._spans.begin(call)
        self._deadlines.watch(call)
        if self.batcher is not None and call.fields[0] == _BATCHED:
            self._submit_to_batch(self.batcher, call)
            return
        link = self._least_loaded()
        if link is not None and not self._queue:
            self._send(link, call)
        else:
            call.stage = QUEUED
            self._queue.push(call, _now())

    def cancel(self, call: Call, status: int = CLIENT_LEFT) -> None:
        """The caller has left, or has all it asked for and counts as `status`."""
        if call.stage is QUEUED or call.stage is RUNNING:
            self._withdraw(call)
            self._end(call, status)

    def stop(self, failure: errors.Failure) -> None:
        """Fails all that is left."""
        for link in self._links:
            for call in [call for call in link.calls.values() if call is not None]:
                self._fail(call, failure)
        self._fail_queued(failure)
        if self.batcher is not None:
            self.batcher.close()
        self._deadlines.close()

    # What links report.

    def joined(self, link: Link, offer: Mapping[str, Any]) -> None:
        """A worker is ready."""
        self.offer = offer
        self.verbs = tuple(str(verb) for verb in offer.get("verbs", ()))
        self.wants_headers = bool(offer.get("headers", True))
        if self._spans is not None:
            self._spans.headers_read = self.wants_headers
            self.wants_headers = self.wants_headers or self._spans.reads_headers
        self._wants_deadlines = bool(offer.get("deadline"))
        link.prepares = bool(offer.get("prepares"))
        self._admit(link)

    def left(self, link: Link, begun: int) -> None:
        """A worker died. `begun` is the last number it began: calls beyond it are untouched and go to another."""
        if link in self._links:
            self._links.remove(link)
        for number, call in reversed(link.lose_all().items()):
            if call is None or call.stage is DONE:
                continue
            if number <= begun:
                again = call.attempt <= _LAST_REPEATED_ATTEMPT
                self._fail(call, errors.WORKER_DIED if again else errors.WORKERS_DIED)
            else:
                self._requeue(call)
        self._wait_for_recovery(_RECOVERY_SECONDS)
        for other in self._links:
            self.released(other)

    def retire(self, link: Link) -> None:
        """The worker gets no more calls, and is told to end once it has answered those it has."""
        if link in self._links:
            self._links.remove(link)
        link.closed = link.leaving = True
        self._wait_for_recovery(max(_RECOVERY_SECONDS, self.request_timeout))
        self.released(link)

    def suspend(self, link: Link, begun: int) -> None:
        """The worker stands still: it gets no more calls, and those it has not begun go to others. It must skip them
        should it go on; who calls this has seen to that."""
        if link in self._links:
            self._links.remove(link)
        link.closed = True
        for number, call in reversed(list(link.calls.items())):
            if number > begun and call is not None and call.stage is RUNNING:
                link.calls[number] = None
                self._requeue(call)
        self._wait_for_recovery(_RECOVERY_SECONDS)
        for other in self._links:
            self.released(other)

    def resume(self, link: Link) -> None:
        """A suspended worker goes on."""
        link.closed = link.leaving
        if not link.leaving:
            self._admit(link)

    def give_up(self) -> None:
        """No worker will be back soon: callers are better off elsewhere."""
        if not self._links:
            self._give_up_recovery()

    def released(self, link: Link) -> None:
        """A permit of `link` is free."""
        while link.ready and len(link.permits) < link.threads:
            link.go()
        queue, alone = self._queue, len(self._links) == 1
        while queue and link.has_room(alone):
            self._send(link, queue.pop())
        if self.batcher is not None:
            self._send_batches()
        if link.leaving and not link.calls and not link.permits:
            link.finish()

    def answered(self, call: Call, status: int, fields: list[bytes], body: bytes) -> None:
        if fields[2]:
            self.metrics.predicted(fields[2])
        call.on_response(status, fields, body)
        self._end(call, status)

    def broke(self, call: Call, problem: Exception) -> None:
        """What a worker said could not be handed on to the caller: that call ends, the others go on."""
        self._report(problem)
        if call.stage is not DONE:
            self._fail(call, errors.INTERNAL)

    def stream_began(self, call: Call, status: int, fields: list[bytes]) -> None:
        call.status = status
        call.on_stream_head(status, fields)

    def stream_ended(self, call: Call, *, broken: bool) -> None:
        call.on_stream_end(broken=broken)
        self._end(call, 500 if broken else call.status)

    def batch_ended(self, size: int, micros: int) -> None:
        """The predictor has computed a batch."""
        if self.batcher is not None:
            self.batcher.observe(size, micros)

    # Inside.

    def _least_loaded(self) -> Link | None:
        links = self._links
        if not links:
            return None
        link = links[0] if len(links) == 1 else min(links, key=_load)
        return link if link.has_room(len(links) == 1) else None

    def _send(self, link: Link, call: Call) -> None:
        self._starts(link, call)
        link.send(call)

    def _starts(self, link: Link, call: Call) -> None:
        call.stage, call.link = RUNNING, link
        if call.queued_for == 0.0:  # not on its second way, after a worker's death
            call.queued_for = _now() - call.began
            if self._wants_deadlines and call.deadline:
                told = (frames.DEADLINE_FIELD.encode(), b"%.6f" % call.deadline)
                call.fields = [*call.fields[:6], *told, *call.fields[6:]]
        if call.span is not None and self._spans is not None:
            self._spans.dispatched(call)

    def _submit_to_batch(self, batcher: Batcher, call: Call) -> None:
        link = self._least_loaded()
        if link is not None and len(link.permits) < link.threads and batcher.goes_alone(self.in_flight):
            self._starts(link, call)
            if batcher.looks:
                link.send_one(call)
            else:
                link.send(call)
            return
        call.stage = QUEUED
        batcher.push(call, self.in_flight)
        self._send_batches()

    def _send_batches(self) -> None:
        """As long as there is a batch that need not wait, and a worker for it."""
        batcher = self.batcher
        while batcher and (link := self._for_batch()) is not None:
            # A full batch gains nothing by waiting in the front, so the only worker has the next one at hand.
            ahead = len(link.permits) >= link.threads and not link.prepares
            if ahead and not batcher.has_full:
                return
            batch = batcher.take(sum(each.running for each in self._links), self.in_flight, only_full=ahead)
            if not batch:
                return
            for call in batch:
                self._starts(link, call)
            if self._spans is not None:
                self._spans.batched(batch)
            if len(batch) == 1:
                link.send_one(batch[0])
            else:
                link.send_batch(batch)

    def _for_batch(self) -> Link | None:
        links = self._links
        if not links:
            return None
        link = min(links, key=_load)
        return link if link.has_room_for_batch(len(links) == 1) else None

    def _expired(self, call: Call) -> None:
        if call.stage is not DONE:
            self._fail(call, errors.DEADLINE)

    def _fail(self, call: Call, failure: errors.Failure) -> None:
        self._withdraw(call)
        try:
            call.on_failure(failure)
        except Exception as problem:  # the others that fail with it must hear of it
            self._report(problem)
        self._end(call, failure.status)

    def _report(self, problem: Exception) -> None:
        self._loop.call_exception_handler({"message": "a caller could not be told", "exception": problem})

    def _withdraw(self, call: Call) -> None:
        if call.stage is QUEUED:
            if not self._queue.discard(call) and self.batcher is not None:
                self.batcher.discard(call)
        elif call.stage is RUNNING:
            call.link.abandon(call.number)

    def _refuse(self, call: Call, failure: errors.Failure) -> None:
        call.stage = DONE
        call.on_failure(failure)
        self.metrics.ended(failure.status, _now() - call.began, 0.0)

    def _end(self, call: Call, status: int) -> None:
        call.stage, call.status = DONE, status
        self._deadlines.discard(call)
        self.metrics.ended(status, _now() - call.began, call.queued_for)
        if call.span is not None and self._spans is not None:
            self._spans.end(call)
        self.in_flight -= 1
        if self.in_flight == 0:
            self.on_idle()

    def _admit(self, link: Link) -> None:
        self._links.append(link)
        if self._recovery is not None:
            self._recovery.cancel()
            self._recovery = None
        self.released(link)

    def _requeue(self, call: Call) -> None:
        """First in line again: it has waited longest."""
        call.stage, call.link = QUEUED, None
        if self.batcher is not None and call.fields[0] == _BATCHED:
            self.batcher.push_back(call)
        else:
            self._queue.push_back(call, _now())

    def _wait_for_recovery(self, seconds: float) -> None:
        if not self._links and self._recovery is None:
            self._recovery = self._loop.call_later(seconds, self._give_up_recovery)

    def _give_up_recovery(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            self._recovery = None
        self._fail_queued(errors.NOT_READY)

    def _fail_queued(self, failure: errors.Failure) -> None:
        while self._queue:
            self._fail(self._queue.first, failure)
        for call in self.batcher.calls() if self.batcher is not None else ():
            self._fail(call, failure)


def _load(link: Link) -> int:
    return link.load
