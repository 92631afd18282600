"""The folder of one `cortex run`: configuration, states and the admin token of its replicas.

A command that was killed cannot remove it. So it is locked for as long as the command lives, and what nobody holds any
more goes at the next start.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator

_PREFIX = "cortex-run-"
# Between the making of a folder and its lock is less than this.
_YOUNG_SECONDS = 60.0


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
    _sweep(pathlib.Path(tempfile.gettempdir()), time.time())
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as made, _locked(made):
        yield pathlib.Path(made)


def _sweep(parent: pathlib.Path, now: float) -> None:
    for found in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody holds it, or has just removed it
            seen = found.lstat()
            if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.getuid() and now - seen.st_mtime > _YOUNG_SECONDS:
                with _locked(found):
                    shutil.rmtree(found, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: str | pathlib.Path) -> Iterator[None]:
    """Raises BlockingIOError when somebody else holds it. The lock ends with the process, however that ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
