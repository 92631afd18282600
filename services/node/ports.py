"""What the node needs of its machine, named for the need. Adapters: `bundles.py`, `environments.py`, `process.py`,
`limits.py`, `records.py`."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Protocol

from services.chassis import processes
from services.node import model

Tell = Callable[[model.Progress, str], None]


class BundlePort(Protocol):
    """Fetches the archive of a bundle."""

    async def fetch(self, name: str, target: pathlib.Path, tell: Callable[[str], None]) -> None:
        """Brings the whole archive to `target`, going on where a broken download ended. Raises errors.CortexError."""
        ...


class PreparerPort(Protocol):
    """Brings to disk what a replica needs. Raises `failures.PreparationFailed` with a reason for the user."""

    async def prepare(self, wish: model.Wish, tell: Tell) -> model.Prepared: ...


class ProcessPort(Protocol):
    """Runs the process of a replica."""

    def launch(self, record: model.Record, prepared: model.Prepared) -> model.Launch: ...

    def observe(self, record: model.Record, preparation: model.Preparation) -> model.Observation:
        """What is seen of the replica now. Reaps its process when it ended and is ours."""
        ...

    def terminate(self, identity: processes.Identity) -> None: ...

    def kill(self, identity: processes.Identity) -> None:
        """Ends the process and its session; returns once they were signalled."""
        ...

    def forget(self, record: model.Record) -> None:
        """Frees what is held for a replica that is gone."""
        ...

    def addresses_free(self, record: model.Record) -> bool:
        """Whether the replica's doors can be opened on its addresses."""
        ...


class RecordPort(Protocol):
    def load(self) -> Sequence[model.Record]: ...

    def save(self, record: model.Record) -> None: ...

    def remove(self, record: model.Record) -> None: ...


class AddressPort(Protocol):
    def allocate(self) -> tuple[str, str]:
        """Two free addresses, for HTTP and for gRPC."""
        ...

    def hold(self, record: model.Record) -> None: ...

    def release(self, record: model.Record) -> None: ...


class CorePort(Protocol):
    def allocate(self, devices: int) -> tuple[int, int]:
        """First Neuron core and how many, for whole devices; (0, 0) on a machine that has none."""
        ...

    def hold(self, record: model.Record) -> None: ...

    def release(self, record: model.Record) -> None: ...
