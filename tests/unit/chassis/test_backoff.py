import random

from hypothesis import given
from hypothesis import strategies as st

from services.chassis import backoff


@given(st.integers(0, 10_000), st.integers())
def test_a_delay_stays_within_its_ceiling(failures: int, seed: int) -> None:
    policy = backoff.Backoff(first=0.1, longest=30.0)
    delay = policy.delay(failures, random.Random(seed))
    ceiling = min(30.0, 0.1 * 2.0 ** min(failures, 62))
    assert ceiling / 2 <= delay <= ceiling


def test_delays_differ_between_clients() -> None:
    policy = backoff.Backoff()
    assert len({policy.delay(3, random.Random(seed)) for seed in range(10)}) == 10
