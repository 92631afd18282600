"""`max_surge` and `max_unavailable`: a number or a percentage of the wanted replicas, rounded as Kubernetes does."""

import dataclasses
import math

from services.apiserver import spec as specs


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of one pass: never more than `ceiling` replicas, never knowingly fewer than `floor` that answer."""

    ceiling: int
    floor: int


def resolve(quantity: str, of: int, *, up: bool) -> int:
    """`resolve("25%", 10, up=True)` is 3. Raises ValueError when `quantity` is neither a number nor a percentage."""
    text = quantity.strip()
    if not text.endswith("%"):
        return int(text)
    # Whole numbers throughout: 0.1 * 30 in floating point rounds up to 4.
    hundredths = int(text[:-1]) * of
    return math.ceil(hundredths / 100) if up else hundredths // 100


def budget(strategy: specs.UpdateStrategy, wanted: int) -> Budget:
    surge = resolve(strategy.max_surge, wanted, up=True)
    unavailable = resolve(strategy.max_unavailable, wanted, up=False)
    if surge == 0 and unavailable == 0:
        # Kubernetes resolves the same dead end the same way: something has to give, or nothing ever moves.
        unavailable = 1
    return Budget(ceiling=wanted + surge, floor=max(0, wanted - unavailable))
