"""Exit statuses, and how an error is told: what happened, why, and what to do next.

0 done · 1 failed · 2 wrong usage · 3 not found · 4 conflict · 5 access denied · 6 unavailable · 7 timeout
130 interrupted
"""

import os
import sys

import click

from cortex_client import exceptions

INTERRUPTED = 130
_STATUSES: tuple[tuple[type[exceptions.CortexError], int], ...] = (
    (exceptions.NotFound, 3),
    (exceptions.Conflict, 4),
    (exceptions.AccessDenied, 5),
    (exceptions.Unavailable, 6),
    (exceptions.DeadlineExceeded, 7),
)

# Errors that somebody has to look for in logs and traces.
_TRACED = (exceptions.Internal, exceptions.PredictionFailed, exceptions.DeadlineExceeded)


def status(error: exceptions.CortexError) -> int:
    return next((number for kind, number in _STATUSES if isinstance(error, kind)), 1)


def handle(error: BaseException) -> int:
    """Tells the error on stderr and returns the exit status; anything unexpected is raised on as our bug."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # The reader has gone (`cortex logs | head`); keep the interpreter from complaining when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, exceptions.CortexError):
        click.echo(describe(error), err=True)
        return status(error)
    raise error


def describe(error: exceptions.CortexError) -> str:
    what, _, cause = str(error.message).partition("\n")
    lines = [click.style("Error: ", fg="red", bold=True) + what]
    lines += [f"  {line}" for line in cause.splitlines()]
    lines += [f"  {violation.field}: {violation.description}" for violation in error.violations]
    if error.reason not in ("", "NOT_FOUND") and not isinstance(error, exceptions.RolloutFailed):
        lines.append(f"  reason: {error.reason}")
    if error.request_id and isinstance(error, _TRACED):
        lines.append(f"  request id: {error.request_id}")
        lines.append(f"  trace id: {error.trace_id}")
    if error.hint:
        lines.append(f"  next: {error.hint}")
    elif error.retry_after is not None:
        lines.append(f"  next: try again in {error.retry_after:g} s")
    return "\n".join(lines)
