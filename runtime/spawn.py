"""Makes one worker process in the user's environment and waits for its end: a fresh interpreter, or a fork of one."""

import asyncio
import contextlib
import dataclasses
import mmap
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from runtime import asks, log_pipes, logs
from runtime.link import Link
from runtime.shim import frames

_SHIM = pathlib.Path(__file__).parent / "shim" / "__main__.py"
# AWS_: the node's credentials fetch models; the user's code gets the variables that the API itself names.
_PRIVATE = ("PYTHON", "CORTEX_", "VIRTUAL_ENV", "GRPC_", "AWS_")
# Numeric libraries start as many threads as there are cores, in every worker, unless these say otherwise.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


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


@dataclasses.dataclass(frozen=True, slots=True)
class Worker:
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


def environment(python: str, own: Mapping[str, str], base: Mapping[str, str]) -> dict[str, str]:
    """The worker's environment: ours without what is ours, the user's venv in front, then the user's variables."""
    env = {name: value for name, value in base.items() if not name.startswith(_PRIVATE)}
    folder = pathlib.Path(python).parent
    env["PATH"] = os.pathsep.join([str(folder), env.get("PATH", os.defpath)])
    if (folder.parent / "pyvenv.cfg").exists():
        env["VIRTUAL_ENV"] = str(folder.parent)
    if (folder.parent / "conda-meta").exists():
        # Libraries from conda find their data by it.
        env["CONDA_PREFIX"] = str(folder.parent)
    # Without bytecode every start compiles the user's libraries anew, which costs seconds.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env | dict(own)


def native_threads(workers: int) -> dict[str, str]:
    """Cores divided by the workers; for where neither the node nor the user has said how many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return dict.fromkeys(_THREADS, str(max(1, cores // workers)))


class Interpreter:
    """The user's Python, run with the shim."""

    def __init__(self, python: str, env: Mapping[str, str], folder: str) -> None:
        self._python, self._env, self._folder = python, dict(env), folder

    def run(
        self, kind: str, fds: Sequence[int], stdout: int, stderr: int, stdin: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        """`kind` is a module of the shim. Raises OSError when the interpreter cannot be run."""
        # Popen uses vfork: no fork handler of gRPC's threads runs in between.
        return subprocess.Popen(
            [self._python, "-s", str(_SHIM), kind, str(os.getpid()), *map(str, fds)],
            pass_fds=fds, stdin=stdin, stdout=stdout, stderr=stderr,
            env=self._env, cwd=self._folder, process_group=0,
        )  # fmt: skip

    async def start(self, fds: Sequence[int]) -> Process:
        """A worker in an interpreter of its own."""
        return self.run("worker", fds[:-2], fds[-2], fds[-1])


class Pipes:
    """Standard output and error of one process, on their way into the log."""

    def __init__(self) -> None:
        self._out, self._err = os.pipe(), os.pipe()
        self.theirs = [self._out[1], self._err[1]]
        self.tail = logs.Tail()

    async def connect(self, log: logs.LogFile, name: str) -> None:
        loop = asyncio.get_running_loop()
        for fd, source, level, kept in (
            (self._out[0], "stdout", "info", None),
            (self._err[0], "stderr", "error", self.tail),
        ):
            native = log_pipes.NativeLines(log, worker=name, source=source, level=level, tail=kept)
            await loop.connect_read_pipe(lambda native=native: native, os.fdopen(fd, "rb", buffering=0))  # type: ignore[misc]

    def close(self) -> None:
        os.close(self._out[0])
        os.close(self._err[0])


async def start(
    make: Start, *, name: str, link: Link, setup: Mapping[str, Any], log: logs.LogFile, answers: asks.Asks
) -> Worker:
    """Raises OSError when the process cannot be made."""
    loop = asyncio.get_running_loop()
    pairs = [socket.socketpair() for _ in range(3)]
    page_fd, page = _shared_page()
    pipes = Pipes()
    theirs = [*(pair[1].fileno() for pair in pairs), page_fd, *pipes.theirs]
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
        for fd in (*pipes.theirs, page_fd):
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
