"""The terminal that `cortex run` was started from, which a worker borrows while somebody debugs in it."""

import contextlib
import os
import signal
import sys

# Read by the worker's debugger (runtime/shim/debugger.py); PYTHONBREAKPOINT names what `breakpoint()` calls there.
VARIABLE = "CORTEX_RUN_TERMINAL"
HOOK = "_cortex_shim.debugger.set_trace"


def path() -> str:
    """The terminal's device, empty where stdin and stdout are not one."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ""
    try:
        return os.ttyname(sys.stdin.fileno())
    except OSError:
        return ""


def variables(terminal: str, chosen: str | None) -> dict[str, str]:
    """What the workers get: a debugger of the user's own choice, else ours where there is a terminal."""
    if chosen is not None:
        return {"PYTHONBREAKPOINT": chosen}
    return {"PYTHONBREAKPOINT": HOOK, VARIABLE: terminal} if terminal else {}


def reclaim() -> None:
    """Takes the terminal back from a worker that ended in the debugger, so that Ctrl-C is heard again."""
    with contextlib.suppress(OSError, ValueError):
        group = os.tcgetpgrp(sys.stdin.fileno())
        if group == os.getpgrp() or _lives(group):
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            os.tcsetpgrp(sys.stdin.fileno(), os.getpgrp())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
