"""File locks that the kernel lets go of when their holder dies."""

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator


class Busy(Exception):
    """Somebody else holds the lock."""


@contextlib.contextmanager
def hold(path: pathlib.Path, *, timeout: float) -> Iterator[None]:
    """Raises Busy when the lock is not free within `timeout` seconds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        ends = time.monotonic() + timeout
        while not _try(descriptor):
            if time.monotonic() >= ends:
                raise Busy(f"another process holds {path}")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
