"""Who this machine is and what it has."""

import os
import pathlib
import re
import secrets
import socket


def identity(folder: pathlib.Path) -> str:
    """The node's id: made once, kept in `folder`."""
    path = folder / "id"
    if not path.exists():
        host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-") or "node"
        path.write_text(f"{host[:40]}-{secrets.token_hex(3)}")
    return path.read_text().strip()


def cpus() -> int:
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
