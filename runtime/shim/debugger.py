"""`breakpoint()` under `cortex run`: pdb on the terminal that the command was started from.

A worker's stdin is empty and its stdout is a log, so the debugger opens the terminal itself. It belongs to one process
group at a time: while somebody types here, this worker's; else the command's, so that Ctrl-C reaches it. Workers that
meet a breakpoint at the same time take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pdb
import signal
import sys
import threading
from typing import Any, Iterator

# Set by `cortex run` for its workers.
TERMINAL = "CORTEX_RUN_TERMINAL"
_turn = threading.RLock()


class TerminalPdb(pdb.Pdb):
    """Reads and writes the terminal, whatever the process's own stdin and stdout are."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        # Open for as long as the debugger traces, which may be the rest of the process's life.
        typed = open(os.dup(self._fd), encoding="utf-8", errors="replace")  # noqa: SIM115
        shown = open(os.dup(self._fd), "w", encoding="utf-8", errors="replace")  # noqa: SIM115
        super().__init__(stdin=typed, stdout=shown, nosigint=True)

    def interaction(self, *args: Any, **given: Any) -> None:
        with _turn, _in_front(self._fd):
            super().interaction(*args, **given)


def set_trace(*_: Any, **__: Any) -> None:
    """What `breakpoint()` calls: PYTHONBREAKPOINT names it."""
    TerminalPdb(os.environ[TERMINAL]).set_trace(sys._getframe(1))


@contextlib.contextmanager
def _in_front(fd: int) -> Iterator[None]:
    fcntl.flock(fd, fcntl.LOCK_EX)
    before = os.tcgetpgrp(fd)
    _give(fd, os.getpgrp())
    try:
        yield
    finally:
        _give(fd, before)
        fcntl.flock(fd, fcntl.LOCK_UN)


def _give(fd: int, group: int) -> None:
    # Who is not in front is stopped for asking, unless it does not hear of it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        os.tcsetpgrp(fd, group)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
