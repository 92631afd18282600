"""Makes one worker process in the user's environment and waits for its end: a fresh interpreter, or a fork of one."""

import asyncio
import contextlib
import mmap
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from runtime import asks, log_pipes, logs
from runtime.link import Link
from runtime.shim import frames


class Process(Protocol):
    """A child of the front: a Popen or a Forked."""

    pid: int
    returncode: Any  # None while it runs; negative for a signal

    def wait(self) -> int: ...


class Forked:
    """A child that the fork server made for us."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def wait(self) -> int:
        if self.returncode is None:
            _, status = os.waitpid(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


# Given data, control and log sockets, progress page, stdout and stderr. Raises OSError.
Start = Callable[[Sequence[int]], Awaitable[Process]]


class Worker(NamedTuple):
    """A running process, the front's ends of its sockets, and the page that tells how far it came."""

    process: Process
    link: Link
    page: mmap.mmap
    tail: logs.Tail

    @property
    def begun(self) -> int:
        number: int = frames.PROGRESS.unpack_from(self.page)[0]
        return number

    def kill(self) -> None:
        """Ends the process and whatever the user's code started in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def exit_text(self) -> str:
        return exit_text(self.process.returncode)


def exit_text(code: int | None) -> str:
    if code is None:
        return "is still running"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"exited with status {code}"


class Pipes:
    """Standard output and error of one process, on their way into the log."""

    def __init__(self, stdout: int, stderr: int) -> None:
        self._out, self._err = stdout, stderr
        self.tail = logs.Tail()

    async def connect(self, log: logs.LogFile, name: str) -> None:
        loop = asyncio.get_running_loop()
        for fd, source, level, kept in (
            (self._out, "stdout", "info", None),
            (self._err, "stderr", "error", self.tail),
        ):
            native = log_pipes.NativeLines(log, worker=name, source=source, level=level, tail=kept)
            await loop.connect_read_pipe(lambda native=native: native, os.fdopen(fd, "rb", buffering=0))  # type: ignore[misc]

    def close(self) -> None:
        os.close(self._out)
        os.close(self._err)


async def start(
    make: Start, *, name: str, link: Link, setup: Mapping[str, Any], log: logs.LogFile, answers: asks.Asks
) -> Worker:
    """Raises OSError when the process cannot be made."""
    loop = asyncio.get_running_loop()
    pairs = [socket.socketpair() for _ in range(3)]
    page_fd, page = _shared_page()
    (stdout, their_stdout), (stderr, their_stderr) = os.pipe(), os.pipe()
    pipes = Pipes(stdout, stderr)
    theirs = [*(pair[1].fileno() for pair in pairs), page_fd, their_stdout, their_stderr]
    try:
        process = await make(theirs)
    except BaseException:
        for pair in pairs:
            pair[0].close()
        pipes.close()
        raise
    finally:
        for pair in pairs:
            pair[1].close()
        for fd in theirs[3:]:
            os.close(fd)
    await pipes.connect(log, name)
    for pair in pairs:
        pair[0].setblocking(False)
    await loop.create_unix_connection(lambda: log_pipes.JsonLines(log), sock=pairs[2][0])
    await loop.create_unix_connection(lambda: link, sock=pairs[0][0])
    control, _ = await loop.create_unix_connection(lambda: asks.Control(answers), sock=pairs[1][0])
    link.attach_control(control)
    link.setup({**setup, "worker": name})
    return Worker(process=process, link=link, page=page, tail=pipes.tail)


def _shared_page() -> tuple[int, mmap.mmap]:
    if sys.platform.startswith("linux"):
        fd = os.memfd_create("cortex-progress")
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, mmap.PAGESIZE)
    return fd, mmap.mmap(fd, mmap.PAGESIZE)


async def ended(process: Process) -> None:
    """Waits for the end of `process` and reaps it."""
    loop = asyncio.get_running_loop()
    if not hasattr(os, "pidfd_open"):
        await asyncio.to_thread(process.wait)
        return
    gone = asyncio.Event()
    fd = os.pidfd_open(process.pid)
    try:
        loop.add_reader(fd, gone.set)
        await gone.wait()
        process.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
