"""Waiting longer after each failure, and never all at once: capped exponential back-off with full jitter
(Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015)."""

import random
from typing import NamedTuple


class Backoff(NamedTuple):
    """Seconds to wait before try n (from 0): uniform in [half, all] of min(longest, first * factor ** n)."""

    first: float = 0.1
    longest: float = 30.0
    factor: float = 2.0

    def delay(self, failures: int, rng: random.Random) -> float:
        ceiling: float = min(self.longest, self.first * self.factor ** min(failures, 62))
        return ceiling * (0.5 + 0.5 * rng.random())
