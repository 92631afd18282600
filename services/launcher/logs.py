"""Size-capped log files of children that know nothing of rotation: they append, so cutting off is safe."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterable

_AT_START = 10 * 1024**2
_WHILE_RUNNING = 64 * 1024**2


def open_for_child(path: pathlib.Path) -> int:
    """A descriptor that appends to `path`; a large log of earlier runs is moved to `.1` first. The caller closes it."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _AT_START:
            path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def cap(folders: Iterable[pathlib.Path], most: int = _WHILE_RUNNING) -> None:
    """Copies logs above `most` bytes to `.1` and cuts them off; what is written in between is lost."""
    for folder in folders:
        for path in folder.glob("*.log"):
            with contextlib.suppress(OSError):
                if path.stat().st_size > most:
                    shutil.copyfile(path, path.with_name(path.name + ".1"))
                    os.truncate(path, 0)
