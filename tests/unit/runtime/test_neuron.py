"""Core ranges of Inferentia: worked out here, as no test machine has a device."""

import pathlib

import pytest

from runtime import neuron
from runtime.triton import model_config
from runtime.triton import neuron as models
from runtime.triton.repository import Source


@pytest.mark.parametrize(
    ("first", "count", "slots", "ranges"),
    [
        (0, 4, 1, ["0-3"]),
        (0, 4, 2, ["0-1", "2-3"]),
        (4, 4, 4, ["4", "5", "6", "7"]),
        (8, 2, 1, ["8-9"]),
        (0, 0, 3, []),
    ],
)
def test_every_slot_owns_a_range_of_its_own(first: int, count: int, slots: int, ranges: list[str]) -> None:
    assert neuron.ranges(first, count, slots) == ranges
    told = [neuron.environ(first, count, slots, slot) for slot in range(slots)]
    assert told == ([{"NEURON_RT_VISIBLE_CORES": each} for each in ranges] or [{}] * slots)


def test_cores_that_cannot_be_divided_are_an_error_that_names_the_field() -> None:
    with pytest.raises(neuron.Indivisible, match="processes_per_replica: 3 processes cannot share 4 Neuron cores"):
        neuron.ranges(0, 4, 3)


def test_a_compiled_model_gets_an_instance_per_slot() -> None:
    source = Source("m", {1: pathlib.Path("/m/1")}, {"backend": "neuronx", "parameters": {"a": {"string_value": "b"}}})
    placed = models.placed(source, (2, 4), 2).config
    assert placed["instance_group"] == [{"kind": "KIND_CPU", "count": 2}]
    assert placed["parameters"] == {"a": {"string_value": "b"}, "CORTEX_NEURON_CORES": {"string_value": "2-3,4-5"}}
    with pytest.raises(model_config.Invalid, match="processes_per_replica"):
        models.placed(source, (0, 4), 3)
    other = Source("m", {1: pathlib.Path("/m/1")}, {"backend": "python"})
    assert models.placed(other, (0, 4), 3) is other
