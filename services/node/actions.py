"""The closed union of what the node can do to a replica."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Prepare:
    """Begin to fetch the bundle and to build the environment."""


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """Start the process."""


@dataclasses.dataclass(frozen=True, slots=True)
class Terminate:
    """Ask the process to drain and exit."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kill:
    """End the process and everything in its session at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Remove:
    """Forget the replica: its process is gone."""


Action = Prepare | Launch | Terminate | Kill | Remove
