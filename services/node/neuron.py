"""Cores of this machine's Inferentia and Trainium devices: each replica that asks for devices owns a range of its own.

The Neuron runtime gives a process the cores it names and no others, so two replicas must never be told the same ones.
A machine without such devices gives none, and its replicas run on processors.
"""

import pathlib
import re

from services.chassis import errors
from services.node import model

_DEVICE = re.compile(r"neuron\d+")


def count(folder: pathlib.Path) -> int:
    """Devices that the driver shows below `folder`, which is /dev."""
    return sum(1 for entry in folder.glob("neuron*") if _DEVICE.fullmatch(entry.name))


class Cores:
    """Hands out ranges of cores and knows who holds them. A replica keeps its range over restarts."""

    def __init__(self, devices: int, per_device: int) -> None:
        self._total = devices * per_device
        self._per_device = per_device
        self._held: set[int] = set()

    def allocate(self, devices: int) -> tuple[int, int]:
        """First core and how many, for `devices` whole devices; the lowest range that is free."""
        wanted = devices * self._per_device if self._total else 0
        for first in range(0, self._total - wanted + 1, self._per_device):
            if wanted and self._held.isdisjoint(range(first, first + wanted)):
                self._held.update(range(first, first + wanted))
                return first, wanted
        if wanted:
            free = (self._total - len(self._held)) // self._per_device
            raise errors.ResourceExhausted(
                f"compute.inf asks for {devices} Neuron devices side by side; {free} of "
                f"{self._total // self._per_device} are free; stop other replicas, or ask for fewer"
            )
        return 0, 0

    def hold(self, record: model.Record) -> None:
        self._held |= _cores(record)

    def release(self, record: model.Record) -> None:
        self._held -= _cores(record)


def _cores(record: model.Record) -> set[int]:
    return set(range(record.neuron_core_first, record.neuron_core_first + record.neuron_core_count))
