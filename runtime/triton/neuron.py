"""Which cores of Inferentia each instance or worker slot owns. Pure.

A core belongs to one process until that ends, so the ranges are fixed per slot: a restarted one takes its own again.
"""

from runtime.triton import model_config
from runtime.triton.repository import Source


def ranges(first: int, count: int, slots: int) -> list[str]:
    """NEURON_RT_VISIBLE_CORES of each slot. Raises model_config.Invalid."""
    if count % slots:
        raise model_config.Invalid(f"processes_per_replica: {slots} processes cannot share {count} Neuron cores evenly")
    each = count // slots
    return [_range(first + slot * each, each) for slot in range(slots)]


def _range(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def environment(first: int, count: int, slots: int, slot: int) -> dict[str, str]:
    """What a worker's environment needs before the Neuron runtime starts in it; nothing where there are no cores."""
    return {"NEURON_RT_VISIBLE_CORES": ranges(first, count, slots)[slot]} if count else {}


def placed(source: Source, cores: tuple[int, int], slots: int) -> Source:
    """The model with an instance per slot and its cores, for the `neuronx` wrapper. Raises model_config.Invalid."""
    first, count = cores
    if not count or source.config.get("backend") != "neuronx":
        return source
    parameters = {**source.config.get("parameters", {})}
    parameters["CORTEX_NEURON_CORES"] = {"string_value": ",".join(ranges(first, count, slots))}
    config = {**source.config, "parameters": parameters, "instance_group": [{"kind": "KIND_CPU", "count": slots}]}
    return Source(source.name, source.versions, config)
