"""Streams that survive the other side's death: opened again with back-off, continued where they stopped."""

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from cortex_client import exceptions

T = TypeVar("T")
_FIRST = 0.1
_LONGEST = 5.0
_BROKEN = (exceptions.Unavailable, exceptions.Internal, exceptions.LimitReached)


def resuming(
    start: Callable[[], Iterator[T]],
    *,
    give_up_after: float,
    again_at_end: bool = False,
    on_break: Callable[[exceptions.CortexError], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[T]:
    """Yields what `start()` streams; a broken stream is started again, so `start` must know where to go on.

    After `give_up_after` seconds without a message the last error is raised. With `again_at_end` a stream that ends
    by itself is started again too.
    """
    delay = _FIRST
    last_message = clock()
    while True:
        try:
            for message in start():
                delay, last_message = _FIRST, clock()
                yield message
            if not again_at_end:
                return
        except _BROKEN as error:
            if clock() - last_message > give_up_after:
                raise
            if on_break is not None:
                on_break(error)
        sleep(delay * random.uniform(0.8, 1.2))
        delay = min(delay * 2, _LONGEST)
