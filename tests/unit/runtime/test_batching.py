"""When a batch waits and when it goes, with time as an argument."""

import random

import pytest

from runtime import batching


def cost(fixed: float, per_call: float, sizes: list[int]) -> batching.Cost:
    found = batching.Cost()
    for size in sizes:
        found.observe(size, fixed + per_call * size)
    return found


def situation(**changes: float) -> batching.Situation:
    usual = {"size": 4, "waited": 0.001, "idle": 0.0, "gap": 0.0001, "others": 10.0}
    told = {**usual, **changes}
    return batching.Situation(int(told["size"]), told["waited"], told["idle"], told["gap"], told["others"])


@pytest.mark.parametrize(("fixed", "per_call"), [(0.01, 0.0), (0.002, 0.0005), (0.0, 0.003)])
def test_the_cost_of_a_batch_is_told_apart_from_that_of_its_calls(fixed: float, per_call: float) -> None:
    found = cost(fixed, per_call, [1, 5, 2, 9, 30, 12] * 5)
    assert [found.fixed, found.per_call] == pytest.approx([fixed, per_call], abs=1e-6)


def test_the_fit_follows_a_predictor_that_changes() -> None:
    found = cost(0.01, 0.0, [1, 5, 9] * 20)
    for size in [1, 5, 9] * 60:
        found.observe(size, 0.001 + 0.0001 * size)
    assert [found.fixed, found.per_call] == pytest.approx([0.001, 0.0001], rel=0.05)


def test_batches_of_one_size_count_as_worth_filling() -> None:
    found = cost(0.01, 0.0, [1] * 5)
    assert [found.fixed, found.per_call] == pytest.approx([0.01, 0.0])


STEP = cost(0.01, 0.0, [1, 8, 16])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"size": 32}, "it is full"),
        ({"waited": 0.1}, "the oldest has waited batch_interval"),
        ({"others": 0.0}, "nobody else is there to come"),
        ({"gap": 0.01}, "the next call comes too late to pay"),
        ({"idle": 0.003}, "the next call did not come as it should have"),
    ],
)
def test_a_batch_goes_at_once(changes: dict[str, float], why: str) -> None:
    assert batching.hold(situation(**changes), 32, 0.1, STEP) == 0.0, why


def test_a_batch_waits_for_calls_that_are_due_and_no_longer_than_they_are_worth() -> None:
    assert batching.hold(situation(), 32, 0.1, STEP) == pytest.approx(0.01 / 4)
    assert batching.hold(situation(size=20), 32, 0.1, STEP) == pytest.approx(0.01 / 20)
    assert batching.hold(situation(waited=0.0995), 32, 0.1, STEP) == pytest.approx(0.0005)


def test_a_cheap_predictor_is_never_made_to_wait() -> None:
    assert batching.hold(situation(size=10), 32, 0.1, cost(75e-6, 2e-6, [1, 5, 9])) == 0.0


class Closed:
    """Clients who ask again 0.1 to 1 ms after their answer, and a worker with a fixed step. Virtual time."""

    def __init__(self, clients: int, *, step: float = 0.01, most: int = 32) -> None:
        self.rng = random.Random(clients)
        self.cost, self.arrivals = batching.Cost(), batching.Arrivals()
        self.now, self.free, self.until, self.done, self.busy = 0.0, 0.0, 0.0, 0, 0
        self.step, self.most = step, most
        self.queue: list[float] = []
        self.coming: list[float] = []
        self.waits: list[float] = []
        self.think(clients)

    def think(self, clients: int) -> None:
        self.coming = sorted(self.coming + [self.now + self.rng.uniform(0.0001, 0.001) for _ in range(clients)])

    def run(self, until: float) -> None:
        while self.now < until:
            events = [self.free] if self.busy else [self.until] if self.until else []
            self.now = max(self.now, min(events + self.coming[:1]))
            due = bool(self.until) and not self.busy and self.until <= self.now
            if self.busy and self.free <= self.now:
                self.arrivals.answered(self.now)
                self.cost.observe(self.busy, self.step)
                self.think(self.busy)
                self.done, self.busy = self.done + self.busy, 0
            elif not due:
                self.queue.append(self.coming.pop(0))
                self.arrivals.observe(self.now, len(self.queue) + self.busy)
            if self.queue and not self.busy:
                self.decide(due)

    def decide(self, due: bool) -> None:
        size, waited = len(self.queue), self.now - self.queue[0]
        others = self.arrivals.crowd - size
        seen = batching.Situation(size, waited, self.arrivals.idle(self.now), self.arrivals.gap, others)
        held = 0.0 if due else batching.hold(seen, self.most, 0.1, self.cost)
        self.until = self.now + held if held else 0.0
        if not held:
            self.arrivals.dispatched(size, in_vain=due)
            self.busy, self.free = min(size, self.most), self.now + self.step
            self.waits += [self.now - came for came in self.queue[: self.busy]]
            self.queue = self.queue[self.busy :]


@pytest.mark.parametrize(("clients", "share"), [(1, 0.94), (2, 0.88), (5, 0.88), (20, 0.88), (32, 0.88), (64, 0.98)])
def test_clients_who_ask_again_when_answered_fill_the_batches(clients: int, share: float) -> None:
    """The last of n clients is back about 1 ms after the answers, which makes 0.91 the most there is up to 32."""
    line = Closed(clients)
    line.run(5.0)
    assert line.done >= share * 5.0 / line.step * min(clients, line.most)


def test_one_client_never_waits_not_even_after_a_crowd() -> None:
    alone = Closed(1)
    alone.run(1.0)
    assert max(alone.waits) == 0.0
    line = Closed(64)
    line.run(1.0)
    line.queue, line.coming, line.busy = [], [line.now + 0.0005], 0
    line.run(2.0)
    line.waits.clear()
    line.run(3.0)
    assert max(line.waits) == 0.0
