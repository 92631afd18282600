"""How much memory there is: of a worker, of the replica, and left on the machine. Known on Linux only."""

import contextlib
import pathlib
from collections.abc import Iterable

from services.chassis import processes

_CGROUP = pathlib.Path("/sys/fs/cgroup")
# A successor takes what its predecessor took, and a little while both are there for buffers.
_SPARE = 1.1


def resident(pid: int) -> int:
    """Cheap, and never less than what `proportional` says."""
    return processes.resident_bytes(pid)


def proportional(pid: int) -> int:
    """With shared pages divided among those who share them. Walks the page tables: milliseconds for what is large."""
    return processes.proportional_bytes(pid)


def has_room(pid: int, others: Iterable[int], limit: int) -> bool:
    """Whether a second process like `pid` fits, on the machine and into the replica's limit (0: none)."""
    more = int(proportional(pid) * _SPARE)
    if limit and sum(map(proportional, others)) + more > limit:
        return False
    own = ""
    with contextlib.suppress(OSError):
        own = pathlib.Path("/proc/self/cgroup").read_text()
    return more <= min(_available(), cgroup_room(_CGROUP, own))


def _available() -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 62


def cgroup_room(root: pathlib.Path, own: str) -> int:
    """What cgroups (version 2) still allow; page cache in them makes way. `own` is the text of /proc/self/cgroup."""
    room = 1 << 62
    with contextlib.suppress(IndexError):
        group = root / own.split("0::", 1)[1].split("\n")[0].lstrip("/")
        while group != root.parent:
            room = min(room, _room_in(group))
            group = group.parent
    return room


def _room_in(group: pathlib.Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        limit = int((group / "memory.max").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(stat["file"]) + int(stat.get("shmem", 0))
        return limit - used
    return 1 << 62
