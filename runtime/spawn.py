"""Starts one worker process in the user's environment and waits for its end. The only place that makes processes."""

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
from collections.abc import Mapping
from typing import Any

from runtime import asks, log_pipes, logs
from runtime.link import Link
from runtime.shim import frames

_SHIM = pathlib.Path(__file__).parent / "shim" / "__main__.py"
_PRIVATE = ("PYTHON", "CORTEX_", "VIRTUAL_ENV", "GRPC_")


@dataclasses.dataclass(frozen=True, slots=True)
class Worker:
    """A running process, the front's ends of its sockets, and the page that tells how far it came."""

    process: "subprocess.Popen[bytes]"
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
        code = self.process.returncode
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
    # Without bytecode every start compiles the user's libraries anew, which costs seconds.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env | dict(own)


async def start(
    *,
    python: str,
    env: Mapping[str, str],
    name: str,
    link: Link,
    setup: Mapping[str, Any],
    log: logs.LogFile,
    answers: asks.Asks,
) -> Worker:
    """Raises OSError when the interpreter cannot be run."""
    loop = asyncio.get_running_loop()
    pairs = [socket.socketpair() for _ in range(3)]
    page_fd, page = _shared_page()
    out, err = os.pipe(), os.pipe()
    theirs = [pair[1].fileno() for pair in pairs] + [page_fd]
    try:
        # Popen uses vfork: no fork handler of gRPC's threads runs in between.
        process = subprocess.Popen(  # noqa: ASYNC220
            [python, "-s", str(_SHIM), *map(str, theirs), str(os.getpid())],
            pass_fds=theirs, stdin=subprocess.DEVNULL, stdout=out[1], stderr=err[1],
            env=dict(env), cwd=setup["project_dir"], process_group=0,
        )  # fmt: skip
    except OSError:
        for pair in pairs:
            pair[0].close()
        os.close(out[0])
        os.close(err[0])
        raise
    finally:
        for pair in pairs:
            pair[1].close()
        for fd in (out[1], err[1], page_fd):
            os.close(fd)
    tail = logs.Tail()
    for fd, source, level, kept in ((out[0], "stdout", "info", None), (err[0], "stderr", "error", tail)):
        native = log_pipes.NativeLines(log, worker=name, source=source, level=level, tail=kept)
        await loop.connect_read_pipe(lambda native=native: native, os.fdopen(fd, "rb", buffering=0))  # type: ignore[misc]
    for pair in pairs:
        pair[0].setblocking(False)
    await loop.create_unix_connection(lambda: log_pipes.JsonLines(log), sock=pairs[2][0])
    await loop.create_unix_connection(lambda: link, sock=pairs[0][0])
    control, _ = await loop.create_unix_connection(lambda: asks.Control(answers), sock=pairs[1][0])
    link.attach_control(control)
    link.setup({**setup, "worker": name})
    return Worker(process=process, link=link, page=page, tail=tail)


def _shared_page() -> tuple[int, mmap.mmap]:
    if sys.platform.startswith("linux"):
        fd = os.memfd_create("cortex-progress")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, mmap.PAGESIZE)
    return fd, mmap.mmap(fd, mmap.PAGESIZE)


async def ended(process: "subprocess.Popen[bytes]") -> None:
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
