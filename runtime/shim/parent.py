"""The front from below: a worker ends when it dies, whatever the worker is doing then."""

from __future__ import annotations

import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_ADOPTED_SECONDS = 10.0


def end_with(front: int) -> None:
    """Asks Linux to kill this process when its parent, the front, dies, even while native code holds the GIL."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != front:
        os._exit(1)


def name_process(name: str) -> None:
    """What ps and top call this process: all have the same command line."""
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def wait_for_adoption(front: int, between: int) -> None:
    """Until the process in between has ended, and the front, which adopts orphans, is the parent: the signal above is
    for the death of the parent of then."""
    end = time.monotonic() + _ADOPTED_SECONDS
    while (now := os.getppid()) != front:
        if now != between or time.monotonic() > end:
            os._exit(1)  # the front is dead
        time.sleep(0.0002)
