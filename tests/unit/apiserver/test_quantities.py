"""25 % of something, rounded as Kubernetes does."""

import pytest

from services.apiserver import quantities
from services.apiserver import spec as specs


@pytest.mark.parametrize(
    ("surge", "unavailable", "wanted", "ceiling", "floor"),
    [
        ("25%", "25%", 1, 2, 1),
        ("25%", "25%", 4, 5, 3),
        ("25%", "25%", 10, 13, 8),
        ("10%", "0", 30, 33, 30),
        ("1", "0", 3, 4, 3),
        ("0", "1", 1, 1, 0),
        ("0", "0", 5, 5, 4),
        ("0%", "10%", 1, 1, 0),
        ("100%", "100%", 3, 6, 0),
        ("2", "9", 3, 5, 0),
        ("25%", "25%", 0, 0, 0),
    ],
)
def test_bounds(surge: str, unavailable: str, wanted: int, ceiling: int, floor: int) -> None:
    strategy = specs.UpdateStrategy(max_surge=surge, max_unavailable=unavailable)
    assert quantities.budget(strategy, wanted) == quantities.Budget(ceiling, floor)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="lots"):
        quantities.resolve("lots", 3, up=True)
