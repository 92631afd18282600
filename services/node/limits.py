"""Memory limits of replicas: by cgroup where we may write one, by watching the process tree everywhere."""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Protocol

import structlog

from services.chassis import processes, settings

_log = structlog.get_logger("limits")


class Enforcement(Protocol):
    name: str

    def enclose(self, replica: str, pid: int, limit: int) -> None:
        """Puts a process that has just started, and all it will start, under the limit."""
        ...

    def kills(self, replica: str) -> int:
        """How many processes of the replica the kernel killed for their memory."""
        ...

    def release(self, replica: str) -> None: ...


class Watching:
    """Nothing but the node's own eyes: a replica may go over its limit between two looks."""

    name = "watch"

    def enclose(self, replica: str, pid: int, limit: int) -> None:
        pass

    def kills(self, replica: str) -> int:
        return 0

    def release(self, replica: str) -> None:
        pass


class Cgroups:
    """One memory cgroup per replica below `parent`; version 1 and 2 differ only in the names of their files."""

    name = "cgroup"

    def __init__(self, parent: pathlib.Path, *, version: int) -> None:
        self._parent = parent
        self._version = version
        self._before: dict[str, int] = {}
        self._limit = "memory.max" if version == 2 else "memory.limit_in_bytes"
        self._events = "memory.events" if version == 2 else "memory.oom_control"

    def enclose(self, replica: str, pid: int, limit: int) -> None:
        group = self._parent / replica
        try:
            # A fresh group for each run: the count of kills begins at zero.
            self.release(replica)
            self.open()
            group.mkdir(exist_ok=True)
            (group / self._limit).write_text(str(limit))
            (group / "cgroup.procs").write_text(str(pid))
            # Where the old group could not go yet, its kills are not this run's.
            self._before[replica] = self._count(replica)
        except OSError as error:
            _log.warning("memory limit falls back to watching", replica=replica, error=str(error))

    def open(self) -> None:
        """Makes our folder, which exists only while a replica needs it. Raises OSError where we may not."""
        self._parent.mkdir(exist_ok=True)
        if self._version == 2:
            for folder in (self._parent.parent, self._parent):
                (folder / "cgroup.subtree_control").write_text("+memory")

    def kills(self, replica: str) -> int:
        count = self._count(replica)
        # Of an adopted replica nothing is held against it that happened before we looked.
        return max(0, count - self._before.setdefault(replica, count))

    def _count(self, replica: str) -> int:
        try:
            text = (self._parent / replica / self._events).read_text()
        except OSError:
            return 0
        counts = dict(line.split()[:2] for line in text.splitlines() if line)
        return int(counts.get("oom_kill", 0))

    def release(self, replica: str) -> None:
        # Refused while a process is left inside; it is tried again when the replica is removed.
        self._before.pop(replica, None)
        for folder in (self._parent / replica, self._parent):
            with contextlib.suppress(OSError):
                folder.rmdir()


def choose(wanted: str, cgroup: str, node: str, *, root: pathlib.Path, own: str) -> Enforcement:
    """`wanted` is auto, cgroup or watch; `own` is the text of /proc/self/cgroup. Raises SettingsError
    where `cgroup` is asked for and cannot be had."""
    if wanted not in ("auto", "cgroup", "watch"):
        raise settings.SettingsError(f"CORTEX_MEMORY_ENFORCEMENT={wanted!r}: expected auto, cgroup or watch")
    if wanted == "watch":
        return Watching()
    for version, parent in parents("memory", cgroup, root, own):
        if enforcement := _probe(parent / f"cortex-{node}", version):
            return enforcement
    if wanted == "cgroup":
        raise settings.SettingsError(
            "no memory cgroup can be written here; name a delegated one in CORTEX_CGROUP, or use watch"
        )
    return Watching()


def parents(controller: str, cgroup: str, root: pathlib.Path, own: str) -> list[tuple[int, pathlib.Path]]:
    """Version and folder of each cgroup below which we might make one with that controller."""
    if cgroup:
        path = pathlib.Path(cgroup)
        return [(2 if (path / "cgroup.controllers").exists() else 1, path)]
    lines = [line.split(":", 2) for line in own.splitlines() if line.count(":") >= 2]
    found = [(1, root / controller / path.lstrip("/")) for _, names, path in lines if controller in names.split(",")]
    if not found and (root / controller / "cgroup.procs").exists():
        # Version 1 lists a controller only where it is in use by the process; its root is ours then.
        found.append((1, root / controller))
    found += [(2, root / path.lstrip("/")) for number, names, path in lines if number == "0" and not names]
    return found


def _probe(folder: pathlib.Path, version: int) -> Cgroups | None:
    """Makes our folder and one inside it, to see whether limits can be set there, and leaves neither."""
    found = Cgroups(folder, version=version)
    probe = folder / "probe"
    try:
        found.open()
        probe.mkdir(exist_ok=True)
        writable = (probe / ("memory.max" if version == 2 else "memory.limit_in_bytes")).exists()
    except OSError:
        writable = False
    found.release("probe")
    return found if writable else None


def own_cgroups() -> str:
    return pathlib.Path("/proc/self/cgroup").read_text()


class Meter:
    """Memory of a replica's process tree, looked at no more often than every `interval` seconds."""

    def __init__(self, interval: float = 0.25) -> None:
        self._interval = interval
        self._last: dict[processes.Identity, tuple[float, int]] = {}

    def read(self, identity: processes.Identity, limit: int, monotonic: float) -> int:
        """Bytes, exact only near and above `limit`: shared pages are divided fairly once it matters."""
        looked, value = self._last.get(identity, (-self._interval, 0))
        if monotonic - looked < self._interval:
            return value
        tree = _tree(identity.pid)
        value = sum(map(processes.resident_bytes, tree))
        if value > limit:
            value = sum(map(processes.proportional_bytes, tree))
        self._last[identity] = (monotonic, value)
        return value

    def forget(self, identity: processes.Identity) -> None:
        self._last.pop(identity, None)


def _tree(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for children in pathlib.Path(f"/proc/{current}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += map(int, children.read_text().split())
    return found


def describe(enforcement: Enforcement) -> str:
    """What GetNode says of memory limits."""
    words: Mapping[str, str] = {
        "cgroup": "cgroup: the kernel kills at the limit, the node restarts the replica",
        "watch": "watch: the node looks every 0.25 s at replicas with a limit and restarts those above it",
    }
    return words[enforcement.name]
