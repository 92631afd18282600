"""What a batch is to a predictor: each argument a list with an entry per call, and a list of results in the same order.

Nothing here calls the predictor, so that plain and async code share it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from . import control, encode, frames
from .execute import Executor, fields
from .payload import Request


class BadResult(Exception):
    """The predictor did not return a list with one result per call."""


class Item:
    """One call of a batch: with `arguments` once they are known, and then with a `result` or an `answer`."""

    __slots__ = ("answer", "arguments", "done", "job", "request", "result")

    def __init__(self, job: control.Job, request: Request) -> None:
        self.job = job
        self.request = request
        self.arguments: dict[str, Any] = {}
        self.result: Any = None
        self.done = False  # `result` is what the predictor returned
        self.answer: encode.Encoded | None = None

    @property
    def waits(self) -> bool:
        """For the predictor."""
        return self.answer is None and not self.done and not self.job.cancelled


def attempts(items: Sequence[Item]) -> Generator[list[Item], bool, None]:
    """Groups to run one after another: first all; where a group raises (send True), its halves.

    So one bad item fails alone after about 2 log2(n) runs, and n bad ones after no more than 2n - 1.
    """
    todo = [list(items)]
    while todo:
        group = [item for item in todo.pop() if item.waits]
        if not group:
            continue
        raised = yield group
        if raised and len(group) > 1:
            middle = len(group) // 2
            todo += [group[middle:], group[:middle]]


def lists(group: Sequence[Item]) -> dict[str, list[Any]]:
    return {name: [item.arguments[name] for item in group] for name in group[0].arguments}


def deal(results: Any, group: Sequence[Item], executor: Executor) -> None:
    """Gives each item its result; an exception in a result's place is that of one item. Raises BadResult."""
    if not isinstance(results, (list, tuple)):
        shown = type(results).__name__
        raise BadResult(f"a batched predict() must return a list with one result per call; it returned {shown}")
    if len(results) != len(group):
        told = f"a batched predict() got {len(group)} calls and returned {len(results)} results; one per call is needed"
        raise BadResult(told)
    for item, result in zip(group, results):
        if isinstance(result, BaseException):
            item.answer = executor.failed(result, item.request)
        else:
            item.result, item.done = result, True


def fail(error: BaseException, group: Sequence[Item], executor: Executor) -> bool:
    """What a run that raised means: True when the halves of the group are to be tried."""
    if isinstance(error, BadResult) or len(group) == 1:
        for item in group:
            item.answer = executor.failed(error, item.request)
        return False
    return True


def response(item: Item) -> bytes:
    """The frame that answers; the permit is that of the whole batch."""
    answer = item.answer
    assert answer is not None
    head = frames.response_head(answer.status, frames.HELD, 0, fields(answer))
    return frames.pack(frames.RESPONSE, item.job.number, head, answer.body)


def refuse_stream(item: Item, executor: Executor) -> None:
    if item.answer is not None and item.answer.chunks is not None:
        error = TypeError("a batched predict() cannot return streams")
        item.answer = executor.failed(error, item.request)
