"""Gives the instances of a `neuronx` model their cores of Inferentia. Pure."""

import dataclasses

from runtime import neuron
from runtime.triton import model_config
from runtime.triton.repository import Source


def placed(source: Source, cores: tuple[int, int], slots: int) -> Source:
    """The model with an instance per slot and its cores, for our wrapper. Raises model_config.Invalid."""
    first, count = cores
    if not count or model_config.backend(source.config) != "neuronx":
        return source
    try:
        told = ",".join(neuron.ranges(first, count, slots))
    except neuron.Indivisible as error:
        raise model_config.Invalid(str(error)) from None
    parameters = {**source.config.get("parameters", {}), "CORTEX_NEURON_CORES": {"string_value": told}}
    config = {**source.config, "parameters": parameters, "instance_group": [{"kind": "KIND_CPU", "count": slots}]}
    return dataclasses.replace(source, config=config)
