"""Runs a batch of an async predictor as one task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import batches, frames, logs
from .payload import Request

if TYPE_CHECKING:
    from .async_engine import Engine, TaskJob


class Incoming:
    """A batch whose requests are still coming off the socket."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size
        self.members: list[tuple[int, bytes, bytes]] = []

    @property
    def whole(self) -> bool:
        return len(self.members) == self.size


class Whole:
    """Counts who waits; with the registry's lock held."""

    def __init__(self, size: int) -> None:
        self._waiting = size
        self.job: TaskJob | None = None

    def attach(self, job: TaskJob) -> None:
        """From here the job is cancelled with the last call; at once, when that is gone already."""
        self.job = job
        if self._waiting == 0:
            job.cancel()

    def leave_one(self) -> None:
        self._waiting -= 1
        if self._waiting == 0 and self.job is not None:
            self.job.cancel()


def begin(engine: Engine, batch: Incoming) -> None:
    """Starts the task. All of the batch may have been cancelled on its way."""
    whole = Whole(len(batch.members))
    items = []
    for number, head, body in batch.members:
        member = batches.Member(number, whole)
        if engine.registry.take(member):
            items.append(batches.Item(member, Request(number, head, body)))
            continue
        with engine.registry.lock:
            whole.leave_one()
        if number != batch.number:
            engine.send(frames.RELEASE, number)
    if not items:
        engine.send(frames.RELEASE, batch.number)
        return
    job = engine.new_job(batch.number)
    engine.start(job, _serve(engine, whole, job, items))


async def _serve(engine: Engine, whole: Whole, job: TaskJob, items: list[batches.Item]) -> None:
    try:
        # Not before: a task that is cancelled before its first step never gets to the `finally` below.
        with engine.registry.lock:
            whole.attach(job)
        for item in items:
            await _prepare(engine, job, item)
        if engine.executor.contract.pre is not None:
            await job.wait_for_permit(engine.park)
        began = time.perf_counter_ns()
        ran = await _predict(engine, job, items)
        micros = (time.perf_counter_ns() - began) // 1000
        head = frames.MICROS_HEAD.pack(min(micros, 0xFFFFFFFF)) if ran else b""
        if not all(not item.done or engine.executor.keeps_permit(item.result) for item in items):
            engine.release(job, head)
        for item in items:
            await _finish(engine, job, item)
        _send(engine, job, items, head)
    finally:
        cancelled, job.task = job.cancelled, None  # what follows is not cancelled
        for item in items:
            engine.registry.forget(item.job)
            if cancelled or item.answer is None:
                engine.end(item.request)
            # One that has an answer, which was not sent, too: the front waits for a word about every call.
            if (cancelled or item.answer is None) and item.job.number != job.number:
                engine.send(frames.RELEASE, item.job.number)
    if not cancelled:
        await engine.follow(job, [(item.request, item.answer.after) for item in items if item.answer is not None])


async def _prepare(engine: Engine, job: TaskJob, item: batches.Item) -> None:
    """A payload that is malformed, or that `pre` does not take, is refused before it joins."""
    logs.current.set(item.request)
    try:
        _, item.arguments = await engine.arguments(item.request)
    except BaseException as error:
        if engine.is_over(job, error):
            raise
        item.answer = engine.executor.failed(error, item.request)


async def _predict(engine: Engine, job: TaskJob, items: list[batches.Item]) -> bool:
    """Whether there was anything to run."""
    executor = engine.executor
    plan = batches.attempts(items)
    group = next(plan, None)
    ran = group is not None
    while group is not None:
        logs.current.set(group[0].request)
        raised = False
        try:
            method: Any = executor.contract.verbs[group[0].request.method]
            results = await engine.call(method.run, batches.lists(group), is_async=method.is_async)
            batches.deal(results, group, executor)
        except BaseException as error:
            if engine.is_over(job, error):
                raise
            raised = batches.fail(error, group, executor)
        try:
            group = plan.send(raised)
        except StopIteration:
            group = None
    return ran


async def _finish(engine: Engine, job: TaskJob, item: batches.Item) -> None:
    if not item.done:
        return
    logs.current.set(item.request)
    try:
        item.answer = await engine.finish(item.result, item.arguments, item.request)
    except BaseException as error:
        if engine.is_over(job, error):
            raise
        item.answer = engine.executor.failed(error, item.request)


def _send(engine: Engine, job: TaskJob, items: list[batches.Item], head: bytes) -> None:
    """All answers in one piece, with the permit in front where nothing is left to do."""
    answered = [item for item in items if item.answer is not None]
    parts = [batches.response(item) for item in answered]
    if not job.released and not any(item.answer.after for item in answered if item.answer is not None):
        job.released = True
        parts.insert(0, frames.pack(frames.RELEASE, job.number, head))
    engine.write(b"".join(parts))
    if job.released:
        engine.leave_turn(job)
