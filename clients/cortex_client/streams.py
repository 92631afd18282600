"""Streams that survive the other side's death: opened again with back-off, continued where they stopped."""

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from cortex_client import exceptions

T = TypeVar("T")
OnBreak = Callable[[exceptions.CortexError], None]

_FIRST = 0.1
_LONGEST = 5.0
# No attempt to connect lasts this long: a stream that did was open, however silent.
_OPEN = 5.0
_BROKEN = (exceptions.Unavailable, exceptions.Internal, exceptions.LimitReached)


def resuming(
    start: Callable[[], Iterator[T]],
    *,
    give_up_after: float,
    first_within: float | None = None,
    again_at_end: bool = False,
    on_break: OnBreak | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[T]:
    """Yields what `start()` streams; a broken stream is started again, so `start` must know where to go on.

    When it has been broken for `give_up_after` seconds the last error is raised; for `first_within` seconds when it
    never was open, which more likely means that there is nobody at all. `on_break` is told once per break. With
    `again_at_end` a stream that ends by itself is started again too.
    """
    delay, limit = _FIRST, give_up_after if first_within is None else first_within
    broken: float | None = None
    while True:
        began, opened = clock(), False
        try:
            for message in start():
                opened = True
                yield message
            if not again_at_end:
                return
            broken = None
        except _BROKEN as error:
            now = clock()
            opened = opened or now - began >= _OPEN
            if opened or broken is None:
                broken = now if opened else began
                if on_break is not None:
                    on_break(error)
            limit = give_up_after if opened else limit
            if now - broken > limit:
                raise
        delay = _FIRST if opened else delay
        sleep(delay * random.uniform(0.8, 1.2))
        delay = min(delay * 2, _LONGEST)
