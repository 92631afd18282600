"""One hour of decisions, folded."""

from services.autoscaler import history, model


def decision(current: int, desired: int, average: float = 0.0) -> model.Decision:
    seen = model.Observation(current, current, 0, 0, average)
    steps = (model.Step(model.Term.LOAD, average, desired),)
    return model.Decision("ancestor", desired, model.Term.LOAD, steps, seen, model.Scaling())


def test_equal_decisions_are_one_record_that_shows_the_last_numbers() -> None:
    kept = history.History()
    for second in range(100):
        kept.add(decision(1, 1, second / 100), 1000.0 + second)
    (record,) = kept.newest_first()
    assert (record.first, record.last, record.decision.seen.average_in_flight) == (1000.0, 1099.0, 0.99)


def test_newest_first_and_an_hour_at_most() -> None:
    kept = history.History()
    kept.add(decision(1, 1), 0.0)
    kept.add(decision(1, 2), 10.0)
    kept.add(decision(2, 2), 11.0)
    assert [record.first for record in kept.newest_first()] == [11.0, 10.0, 0.0]
    kept.add(decision(2, 2), 3605.0)
    assert [record.first for record in kept.newest_first()] == [11.0, 10.0]


def test_a_flapping_api_is_bounded() -> None:
    kept = history.History()
    for second in range(3000):
        kept.add(decision(1, second % 2), float(second))
    assert len(kept.newest_first()) == 1000
