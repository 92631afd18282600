"""What Linux tells of a server and of the stubs its models run in: stopped, dead, how much memory."""

import contextlib
import dataclasses
import os
import pathlib
import re
import signal

_PAGE = os.sysconf("SC_PAGE_SIZE")
_STUB = b"triton_python_backend_stub"
# Where among its arguments the instance's name is differs from version to version.
_INSTANCE = re.compile(rb"[^/]+_\d+_\d+")


@dataclasses.dataclass(frozen=True, slots=True)
class Stub:
    """A process that runs one instance of a Python model. `healthy` is false when it is stopped or a zombie."""

    pid: int
    instance: str  # such as `iris_0_1`
    healthy: bool

    @property
    def model(self) -> str:
        return self.instance.rsplit("_", 2)[0]

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGKILL)


def state(pid: int) -> str:
    """The letter of /proc/PID/stat; empty when there is no such process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def is_stopped(pid: int) -> bool:
    return state(pid) in ("T", "t")


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def stubs(server: int) -> list[Stub]:
    """The stubs of a server."""
    found = []
    for pid in children(server):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        # A zombie has no command line; whose it was is known from before.
        instance = next((word for word in words[6:] if _INSTANCE.fullmatch(word)), b"")
        if words[0].endswith(_STUB) and instance:
            letter = state(pid)
            found.append(Stub(pid, instance.decode(), healthy=letter not in ("T", "t", "Z", "X", "")))
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory, 0 when unknown."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
