"""Processes that outlive the one that started them: told apart for ever, watched without being a parent, ended whole.

A pid alone names nothing, because pids are used again. A pid with its start time (and the boot it belongs to) does.
Those who start processes on addresses of their own choice ask here, too, whether an address is free.
Linux only: it reads /proc and uses pidfds.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_PROC = pathlib.Path("/proc")


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """One process, and no other one that ever has its pid. `start_ticks` counts from the boot named by `boot_id`."""

    pid: int
    start_ticks: int
    boot_id: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Identity":
        return cls(int(value["pid"]), int(value["start_ticks"]), str(value["boot_id"]))


class _Stat(NamedTuple):
    state: str
    parent: int
    session: int
    start_ticks: int


def boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """Who has `pid` now; None when nobody has."""
    stat = _stat(pid)
    return None if stat is None else Identity(pid, stat.start_ticks, boot_id())


def alive(identity: Identity) -> bool:
    """Whether this very process still runs. A zombie does not."""
    stat = _stat(identity.pid)
    if stat is None or stat.state in "ZX" or stat.start_ticks != identity.start_ticks:
        return False
    return identity.boot_id == boot_id()


def is_stopped(pid: int) -> bool:
    """Whether somebody has stopped it (SIGSTOP). What a debugger holds counts as running."""
    stat = _stat(pid)
    return stat is not None and stat.state == "T"


def command_line(pid: int) -> tuple[str, ...]:
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in raw.split(b"\0")[:-1])


def parent(pid: int) -> int:
    """0 when there is none."""
    stat = _stat(pid)
    return 0 if stat is None else stat.parent


def open_pidfd(identity: Identity) -> int | None:
    """A descriptor that becomes readable when the process ends; None when it already has. The caller closes it."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    # Looked at after opening: from here on the pid cannot be given to another process behind our back.
    if alive(identity):
        return descriptor
    os.close(descriptor)
    return None


def send_signal(identity: Identity, number: int) -> bool:
    """Signals this very process; False when it is gone."""
    descriptor = open_pidfd(identity)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def session_members(identity: Identity) -> list[int]:
    """Every living process of the session that `identity` leads or led, the leader included."""
    members = []
    for pid in _pids():
        stat = _stat(pid)
        if stat is None or stat.session != identity.pid or stat.state in "ZX":
            continue
        # A session is named by its leader's pid. Nobody in it is older than its leader, so an older one means that the
        # name was used before.
        if stat.start_ticks >= identity.start_ticks:
            members.append(pid)
    return members


def kill_session(identity: Identity) -> int:
    """SIGKILL for the whole session, until nothing of it is left that could fork. Returns how many were hit."""
    if identity.boot_id != boot_id():
        return 0
    hit = 0
    for _ in range(5):
        members = session_members(identity)
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        hit += len(members)
        if not members:
            break
    return hit


def resident_bytes(pid: int) -> int:
    """Resident memory of one process, shared pages included; 0 when it is gone."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def proportional_bytes(pid: int) -> int:
    """Memory of one process with shared pages divided among those that share them; 0 when it is gone."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return resident_bytes(pid)
    lines = [line.split() for line in text.splitlines() if line.startswith("Pss:")]
    return int(lines[0][1]) * 1024 if lines else 0


def is_free(address: str) -> bool:
    """Whether a server can listen on host:port."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        # Connections in TIME_WAIT do not hinder a server; listeners do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets and may itself hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), session=int(fields[3]), start_ticks=int(fields[19]))


def _pids() -> Iterator[int]:
    with os.scandir(_PROC) as entries:
        for entry in entries:
            if entry.name.isdigit():
                yield int(entry.name)
