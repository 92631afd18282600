"""Runs a batch on an executing thread of a plain predictor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from . import aside, batches, control, frames, logs, outbox
from .execute import Cancelled, Executor, Replies, settled
from .payload import Request


class Host(Protocol):
    """What a batch needs of the engine."""

    executor: Executor
    registry: control.Registry
    aside: aside.Aside
    outbox: outbox.Outbox

    def send(self, kind: int, number: int, head: bytes = b"", body: bytes = b"") -> None: ...
    def guarded(self, job: control.ThreadJob, function: Callable[..., Any], *arguments: Any) -> Any: ...
    def answer(self, job: control.ThreadJob, request: Request, function: Callable[..., Any], *args: Any) -> Any: ...
    def settle(self, number: int, replies: Replies, head: bytes = b"") -> None: ...
    def end(self, request: Request) -> None: ...


class Whole(control.ThreadJob):
    """The batch as a job of its thread: cancelled when nobody waits for any of its calls."""

    def __init__(self, number: int, registry: control.Registry, size: int) -> None:
        super().__init__(number, registry, threading.get_ident())
        self._waiting = size

    def leave_one(self) -> None:
        """With the registry's lock held."""
        self._waiting -= 1
        if self._waiting == 0:
            self.cancel()


def collect(host: Host, number: int, members: Sequence[frames.Frame]) -> Batch | None:
    """The batch with the arguments of its calls; None when all of them were cancelled on their way."""
    began = time.perf_counter_ns()
    whole = Whole(number, host.registry, len(members))
    items = []
    for _, at, head, body in members:
        member = batches.Member(at, whole)
        if host.registry.take(member):
            items.append(batches.Item(member, Request(at, head, body)))
            continue
        with host.registry.lock:
            whole.leave_one()
        if at != number:
            host.send(frames.RELEASE, at)
    batch = Batch(host, whole, items, began)
    try:
        batch.prepare()
    except Cancelled:
        batch.drop()
        return None
    return batch


class Batch:
    """Its number is that of its first call, and so is the permit's."""

    def __init__(self, host: Host, whole: Whole, items: list[batches.Item], began: int) -> None:
        self._host = host
        self._whole = whole
        self._items = items
        self._began = began

    def prepare(self) -> None:
        """A payload that is malformed, or that `pre` does not take, is refused before it joins. Raises Cancelled."""
        host = self._host
        for item in self._items:
            token = logs.current.set(item.request)
            made = host.answer(self._whole, item.request, host.executor.arguments, item.request)
            logs.current.reset(token)
            if isinstance(made, dict):
                item.arguments = made
            else:
                item.answer = made

    def go(self, _: int) -> None:
        """The permit is here."""
        self._whole.move_here()
        self._began = time.perf_counter_ns()
        self.run()

    def run(self) -> None:
        try:
            ran = self._predict()
            micros = (time.perf_counter_ns() - self._began) // 1000
            head = frames.MICROS_HEAD.pack(min(micros, 0xFFFFFFFF)) if ran else b""
            executor, host = self._host.executor, self._host
            light = all(not item.done or executor.keeps_permit(item.result) for item in self._items)
            if not light and host.aside.reserve():
                host.send(frames.RELEASE, self._whole.number, head)
                host.aside.run(self._finish_aside)
            else:
                self._finish(head, released=False)
        except Cancelled:
            self.drop()

    def _predict(self) -> bool:
        """Whether there was anything to run. Raises Cancelled."""
        executor = self._host.executor
        plan = batches.attempts(self._items)
        group = next(plan, None)
        ran = group is not None
        while group is not None:
            token = logs.current.set(group[0].request)
            raised = False
            try:
                method: Any = executor.contract.verbs[group[0].request.method]
                results = self._host.guarded(self._whole, _call, method.run, batches.lists(group))
                batches.deal(results, group, executor)
            except Cancelled:
                raise
            except BaseException as error:
                raised = batches.fail(error, group, executor)
            finally:
                logs.current.reset(token)
            try:
                group = plan.send(raised)
            except StopIteration:
                group = None
        return ran

    def _finish_aside(self) -> None:
        self._whole.move_here()
        try:
            self._finish(b"", released=True)
        except Cancelled:
            self.drop()

    def _finish(self, head: bytes, *, released: bool) -> None:
        """Encodes and sends all answers in one piece. Raises Cancelled."""
        host, number = self._host, self._whole.number
        parts, replies = [], []
        for item in self._items:
            if item.done:
                self._encode(item)
            if item.answer is not None:
                parts.append(batches.response(item))
                replies.append((item.request, item.answer))
            elif item.job.number != number:
                parts.append(frames.pack(frames.RELEASE, item.job.number))
        for item in self._items:
            host.registry.forget(item.job)
            if item.answer is None:
                host.end(item.request)  # its caller has left
        follows = any(answer.after for _, answer in replies)
        if not released and not follows:
            parts.insert(0, frames.pack(frames.RELEASE, number, head))
        host.outbox.send_all(b"".join(parts))
        if follows:
            host.settle(number, replies, head)
            return
        for request, _ in replies:
            host.end(request)

    def _encode(self, item: batches.Item) -> None:
        host, request = self._host, item.request
        token = logs.current.set(request)
        try:
            finish = host.executor.finish
            item.answer = host.answer(self._whole, request, finish, item.result, item.arguments, request)
        finally:
            logs.current.reset(token)

    def drop(self) -> None:
        """Nobody waits for any answer."""
        self._whole.leave()
        for item in self._items:
            self._host.registry.forget(item.job)
            self._host.end(item.request)
            if item.job.number != self._whole.number:
                self._host.send(frames.RELEASE, item.job.number)
        self._host.send(frames.RELEASE, self._whole.number)


def _call(function: Callable[..., Any], arguments: dict[str, list[Any]]) -> Any:
    return settled(function(**arguments))
