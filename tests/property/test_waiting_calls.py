"""Whatever happens to calls: each ends once, batches keep their rules, and those with more right are served first."""

import asyncio
import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import config, dispatch, errors, metrics
from runtime.calls import Call
from runtime.link import Link
from runtime.shim import frames
from runtime.waiting import FAIR, Waiting, urgency


class Asked(Call):
    """Counts its ends."""

    numbers = itertools.count()

    def __init__(self, kind: bytes, priority: int, deadline: float) -> None:
        super().__init__(began=0.0)
        self.fields = [b"POST", b"/", b"", kind, b"", b""]
        self.priority = priority
        self.deadline = deadline
        self.ends: list[int] = []
        self.order = next(self.numbers)

    def on_response(self, status: int, fields: Any, body: bytes) -> None:
        self.ends.append(status)

    def on_failure(self, failure: errors.Failure) -> None:
        self.ends.append(failure.status)


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.decoder = frames.Decoder()
        self.sent: list[frames.Frame] = []

    def write(self, data: bytes) -> None:
        self.sent += self.decoder.feed(data)

    def is_closing(self) -> bool:
        return False

    def write_eof(self) -> None: ...


class Worker:
    """Takes frames as a real one does, and answers when it is told to."""

    def __init__(self, dispatcher: dispatch.Dispatcher, threads: int) -> None:
        self.link = Link(threads, dispatcher, Nobody())
        self.data, self.control = Wire(), Wire()
        self.link.connection_made(self.data)
        self.link.attach_control(self.control)
        self.begun = 0
        self.sizes: list[tuple[int, set[bytes]]] = []
        self.units: list[list[int]] = []

    def take(self) -> None:
        """Begins what has come."""
        while self.data.sent:
            kind, number, head, _ = self.data.sent.pop(0)
            if kind == frames.REQUEST:  # a batch of one
                self.sizes.append((1, {head.split(b"\0")[3]}))
                self.units.append([number])
                continue
            assert kind == frames.BATCH
            count = frames.COUNT_HEAD.unpack(head)[0]
            members, self.data.sent = self.data.sent[:count], self.data.sent[count:]
            assert [member[1] for member in members] == list(range(number, number + count))
            self.sizes.append((count, {member[2].split(b"\0")[3] for member in members}))
            self.units.append([member[1] for member in members])

    def answer(self) -> None:
        """The oldest batch, as the shim does."""
        if not self.units:
            return
        numbers = self.units.pop(0)
        self.begun = numbers[-1]
        if len(numbers) == 1:
            head = frames.response_head(200, 0, 1000, ["", "", ""])
            self.link.data_received(frames.pack(frames.RESPONSE, numbers[0], head))
            return
        parts = [frames.pack(frames.RELEASE, numbers[0], frames.MICROS_HEAD.pack(1000))]
        head = frames.response_head(200, frames.HELD, 0, ["", "", ""])
        parts += [frames.pack(frames.RESPONSE, number, head) for number in numbers]
        self.link.data_received(b"".join(parts))


class Nobody:
    def on_loaded(self, offer: Any) -> None: ...
    def on_load_failed(self, reason: str, message: str) -> None: ...


KINDS = st.sampled_from([b"application/json", b"text/plain"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), KINDS, st.integers(1, 9)),
        st.tuples(st.sampled_from(["cancel", "answer", "die", "start", "take"]), st.integers(0, 50)),
    ),
    max_size=80,
)


@settings(max_examples=150)
@given(steps=STEPS, size=st.integers(2, 5), threads=st.integers(1, 2))
def test_every_call_ends_once_and_batches_keep_their_rules(steps: list[Any], size: int, threads: int) -> None:
    asyncio.run(scenario(steps, size, threads))


async def scenario(steps: list[Any], size: int, threads: int) -> None:
    dispatcher = dispatch.Dispatcher(
        loop=asyncio.get_running_loop(),
        limit=20,
        request_timeout=0.0,
        metrics=metrics.Metrics(),
        spans=None,
        batching=config.Batching(size, 0.05),
    )
    calls: list[Asked] = []
    workers = [start(dispatcher, threads)]
    ended: list[Worker] = []
    left = set()
    for step in steps:
        if step[0] == "submit":
            calls.append(Asked(step[1], step[2], 0.0))
            dispatcher.submit(calls[-1])
        elif step[0] == "cancel" and calls:
            call = calls[step[1] % len(calls)]
            if not call.ends:
                left.add(call)
            dispatcher.cancel(call)
        elif step[0] == "start" and len(workers) < 3:
            workers.append(start(dispatcher, threads))
        elif step[0] == "die" and workers:
            ended.append(worker := workers.pop(step[1] % len(workers)))
            dispatcher.left(worker.link, worker.begun)
        elif workers:
            worker = workers[step[1] % len(workers)]
            worker.take()
            if step[0] == "answer":
                worker.answer()
            await asyncio.sleep(0)
    workers.append(start(dispatcher, threads))
    await finish(dispatcher, workers)
    # A caller who left hears nothing; all others heard once.
    assert all(len(call.ends) == (0 if call in left else 1) for call in calls)
    assert (dispatcher.in_flight, dispatcher.queued) == (0, 0)
    for worker in [*workers, *ended]:
        assert all(count <= size and len(kinds) == 1 for count, kinds in worker.sizes)


def start(dispatcher: dispatch.Dispatcher, threads: int) -> Worker:
    worker = Worker(dispatcher, threads)
    dispatcher.joined(worker.link, {"verbs": ["POST"]})
    return worker


async def finish(dispatcher: dispatch.Dispatcher, workers: list[Worker]) -> None:
    """Answers all there is; what is held goes after batch_interval at the latest."""
    async with asyncio.timeout(10):
        while dispatcher.in_flight:
            for worker in workers:
                worker.take()
                worker.answer()
            await asyncio.sleep(0.001)


PUSHES = st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.0, 5.0, 1.0, 3.0]), st.booleans()), max_size=60)


@given(pushes=PUSHES)
def test_the_most_urgent_leaves_first_but_for_the_turn_of_the_oldest(pushes: list[tuple[int, float, bool]]) -> None:
    waiting = Waiting()
    there: list[Asked] = []
    for priority, deadline, keep in pushes:
        call = Asked(b"", priority, deadline)
        waiting.push(call, 0.0)
        there.append(call)
        if not keep:
            gone = there.pop(len(there) // 2)
            assert waiting.discard(gone) and not waiting.discard(gone)
    assert len(waiting) == len(there)
    jumps = 0
    while there:
        popped = waiting.pop()
        best = min(there, key=lambda each: (*urgency(each), each.order))
        assert popped in (best, there[0])
        jumps += popped is not best
        there.remove(popped)
    assert not waiting
    assert jumps <= len(pushes) // FAIR + 1


@given(count=st.integers(1, 100))
def test_nobody_starves(count: int) -> None:
    waiting = Waiting()
    last = Asked(b"", 9, 0.0)
    waiting.push(last, 0.0)
    for _ in range(count):
        waiting.push(Asked(b"", 1, 0.0), 0.0)
    served = []
    for _ in range(FAIR):
        served.append(waiting.pop())
        waiting.push(Asked(b"", 1, 0.0), 0.0)
    assert last in served


def test_who_comes_back_is_first_among_equals() -> None:
    waiting = Waiting()
    calls = [Asked(b"", 5, 0.0) for _ in range(3)]
    for call in calls[1:]:
        waiting.push(call, 0.0)
    waiting.push_back(calls[0], 0.0)
    assert [waiting.pop() for _ in range(3)] == calls
