"""Which cores of Inferentia each worker slot owns. Pure.

A core belongs to one process until that ends, so the ranges are fixed per slot: a restarted worker takes its own again.
"""


class Indivisible(ValueError):
    """The cores cannot be divided evenly; the text says what to change."""


def ranges(first: int, count: int, slots: int) -> list[str]:
    """NEURON_RT_VISIBLE_CORES of each slot; none where there are no cores. Raises Indivisible."""
    if count % slots:
        raise Indivisible(
            f"predictor.processes_per_replica: {slots} processes cannot share {count} Neuron cores evenly; "
            f"take a number that divides {count}"
        )
    each = count // slots
    return [_range(first + slot * each, each) for slot in range(slots)] if count else []


def _range(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def environ(first: int, count: int, slots: int, slot: int) -> dict[str, str]:
    """What must be in a worker's environment before the Neuron runtime starts in it."""
    return {"NEURON_RT_VISIBLE_CORES": ranges(first, count, slots)[slot]} if count else {}
