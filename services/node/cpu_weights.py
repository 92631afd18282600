"""What a replica asked for of the processors counts when they are contended: its weight in a cgroup, never a ceiling.

As in Kubernetes `compute.cpu` is a request: who asked for twice as much gets twice as much while all want all, and
anybody may use what the others leave.
"""

import contextlib
import os
import pathlib
from typing import Protocol

import structlog

from services.node import limits

_log = structlog.get_logger("cpu_weights")
# Of an ordinary process.
_ONE_CORE = 1024
# All replicas together stand beside whatever else runs, one against all of it: they count as four processes per core.
_TOGETHER = 4


class Weights(Protocol):
    name: str

    def enclose(self, replica: str, pid: int, cpu_millis: int) -> None:
        """Gives a process that has just started, and all it will start, the weight that was asked for."""
        ...

    def release(self, replica: str) -> None: ...

    def sweep(self) -> None:
        """Removes what is left of replicas that have ended."""
        ...


class Nothing:
    """No cgroup can be written: every process counts the same."""

    name = "none"

    def enclose(self, replica: str, pid: int, cpu_millis: int) -> None:
        pass

    def release(self, replica: str) -> None:
        pass

    def sweep(self) -> None:
        pass


class Cgroups:
    """One cgroup per replica below `parent`. In version 2 it is the one that bounds its memory, too."""

    name = "cgroup"

    def __init__(self, parent: pathlib.Path, *, version: int) -> None:
        self._parent = parent
        self._version = version

    def enclose(self, replica: str, pid: int, cpu_millis: int) -> None:
        group = self._parent / replica
        try:
            self.open()
            group.mkdir(exist_ok=True)
            self._weigh(group, cpu_millis * _ONE_CORE // 1000)
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            _log.warning("the replica's processor weight is not set", replica=replica, error=str(error))

    def open(self) -> None:
        """Makes our folder. Raises OSError where we may not."""
        self._parent.mkdir(exist_ok=True)
        if self._version == 2:
            for folder in (self._parent.parent, self._parent):
                (folder / "cgroup.subtree_control").write_text("+cpu")
        self._weigh(self._parent, _TOGETHER * _ONE_CORE * (os.cpu_count() or 1))

    def release(self, replica: str) -> None:
        # Refused while a process is left inside; swept later.
        with contextlib.suppress(OSError):
            (self._parent / replica).rmdir()
        self.close()

    def close(self) -> None:
        """Removes our folder, unless a replica is in it."""
        with contextlib.suppress(OSError):
            self._parent.rmdir()

    def sweep(self) -> None:
        for folder in self._parent.glob("*/"):
            with contextlib.suppress(OSError):
                folder.rmdir()
        self.close()

    def _weigh(self, folder: pathlib.Path, shares: int) -> None:
        shares = min(262_144, max(2, shares))
        name, value = ("cpu.shares", shares) if self._version == 1 else ("cpu.weight", weight(shares))
        with (folder / name).open("r+") as file:
            file.write(str(value))


def weight(shares: int) -> int:
    """Shares of version 1 (2 to 262,144) as a weight of version 2 (1 to 10,000), by Kubernetes' formula."""
    return 1 + (shares - 2) * 9999 // 262_142


def choose(cgroup: str, node: str, *, root: pathlib.Path, own: str) -> Weights:
    """`own` is the text of /proc/self/cgroup; `cgroup` a folder handed to us, or empty."""
    for version, parent in limits.parents("cpu", cgroup, root, own):
        found = Cgroups(parent / f"cortex-{node}", version=version)
        try:
            found.open()
            return found
        except OSError:
            continue
        finally:
            found.sweep()
    return Nothing()


def describe(weights: Weights) -> str:
    """What GetNode says of processors."""
    return {
        "cgroup": "cgroup: a replica weighs what it asked for while processors are contended; there is no ceiling",
        "none": "none: no processor cgroup can be written here, so every process counts the same",
    }[weights.name]
