"""What a batch is to a predictor: each argument a list with an entry per call, and a list of results in the same order.

Nothing here calls the predictor, so that plain and async code share it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol

from . import control, encode, frames, logs, signature
from .execute import Executor, fields, split
from .payload import Request


class Whole(Protocol):
    """A batch as a job of its own."""

    def leave_one(self) -> None:
        """Nobody waits for one of its calls any more; called with the registry's lock held."""


class Member(control.Job):
    """A call of a batch, which is cancelled when nobody waits for any of its calls."""

    def __init__(self, number: int, whole: Whole) -> None:
        super().__init__(number)
        self._whole = whole

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self._whole.leave_one()


class BadResult(Exception):
    """The predictor did not return a list with one result per call."""


class Method(signature.Method):
    """A method that gets batches. Called with one request's arguments, as `function`, it makes a batch of one."""

    is_batched = True

    def __init__(self, method: signature.Method) -> None:
        super().__init__(method.function, method.names)
        self.run = method.function
        self.function = self._one_async if method.is_async else self._one

    def _one(self, **arguments: Any) -> Any:
        return _only(self.run(**{name: [value] for name, value in arguments.items()}))

    async def _one_async(self, **arguments: Any) -> Any:
        return _only(await self.run(**{name: [value] for name, value in arguments.items()}))


def _only(results: Any) -> Any:
    """Raises what stands in the result's place."""
    result = results[0] if type(results) is list and len(results) == 1 else checked(results, 1)[0]
    if isinstance(result, BaseException):
        raise result
    return result


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
    for item, result in zip(group, checked(results, len(group))):
        if isinstance(result, BaseException):
            item.answer = _failed(result, item, executor)
        else:
            item.result, item.done = result, True


def checked(results: Any, count: int) -> Any:
    """Raises BadResult."""
    if not isinstance(results, (list, tuple)):
        shown = type(results).__name__
        raise BadResult(f"a batched predict() must return a list with one result per call; it returned {shown}")
    callback = split(results)[1]  # or the first caller of two would get what is everybody's
    if callback is not None and not encode.is_response(callback):
        raise BadResult(
            "a batched predict() returned (results, callback); (result, callback) goes in each call's place"
        )
    if len(results) != count:
        told = f"a batched predict() got {count} calls and returned {len(results)} results; one per call is needed"
        raise BadResult(told)
    return results


def fail(error: BaseException, group: Sequence[Item], executor: Executor) -> bool:
    """What a run that raised means: True when the halves of the group are to be tried."""
    if isinstance(error, BadResult) or len(group) == 1:
        for item in group:
            item.answer = _failed(error, item, executor)
        return False
    return True


def _failed(error: BaseException, item: Item, executor: Executor) -> encode.Encoded:
    """Told in the log under the item's own request, as that is what its caller will ask about."""
    token = logs.current.set(item.request)
    try:
        return executor.failed(error, item.request)
    finally:
        logs.current.reset(token)


def response(item: Item) -> bytes:
    """The frame that answers; the permit is that of the whole batch."""
    answer = item.answer
    assert answer is not None
    head = frames.response_head(answer.status, frames.HELD, 0, fields(answer))
    return frames.pack(frames.RESPONSE, item.job.number, head, answer.body)
