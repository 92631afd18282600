"""Rotation of the gateway's own logs, which it keeps open: moved aside, then the gateway is told to open them anew.

Unlike the logs of the services (`logs.cap`) no line is lost: what is written in between goes to the file moved aside.
"""

import contextlib
import logging
import pathlib
from collections.abc import Callable, Mapping

from services.launcher import admin

_log = logging.getLogger("launcher")
MOST_BYTES = 64 * 1024**2
_TIMEOUT_SECONDS = 2.0


def due(sizes: Mapping[pathlib.Path, int], most: int = MOST_BYTES) -> list[pathlib.Path]:
    """The logs that are to be rotated, of those with these sizes in bytes."""
    return sorted(path for path, size in sizes.items() if size > most)


def rotate(folder: pathlib.Path, reopen: Callable[[], bool], most: int = MOST_BYTES) -> None:
    """Keeps one earlier file of each log. A gateway that does not do as it is told keeps the files it has."""
    moved = [path for path in due(_sizes(folder), most) if _move(path, _earlier(path))]
    if not moved or reopen():
        return
    for path in moved:
        # A gateway that died meanwhile may have been started again and have made a new file.
        if not path.exists():
            _move(_earlier(path), path)


def reopen_logs(page: str) -> bool:
    """Tells Envoy, whose admin page is at the socket `page`, to open its logs by name again. Whether it did."""
    try:
        admin.ask(page, "POST", "/reopen_logs", timeout=_TIMEOUT_SECONDS)
    except admin.Unreachable as error:
        _log.warning("the gateway's logs are not rotated, it does not answer: %s", error)
        return False
    return True


def _sizes(folder: pathlib.Path) -> Mapping[pathlib.Path, int]:
    found = {}
    for path in folder.glob("*.log"):
        with contextlib.suppress(OSError):
            found[path] = path.stat().st_size
    return found


def _earlier(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".1")


def _move(path: pathlib.Path, target: pathlib.Path) -> bool:
    try:
        path.replace(target)
    except OSError as error:
        _log.warning("cannot move %s: %s", path, error)
        return False
    return True
