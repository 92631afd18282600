"""`cortex run` as a process of its own, at a terminal or without one."""

import contextlib
import os
import pathlib
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

# Long, as a machine that tests is busy; a test that passes waits for none of it.
WAIT_SECONDS = 60.0


def wait_for(what: Callable[[], Any], timeout: float = WAIT_SECONDS) -> Any:
    """The first truthy value of `what`."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := what():
            return value
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {timeout} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Run:
    """The running command. `said` is all it printed so far."""

    def __init__(self, pid: int, port: int, log: pathlib.Path) -> None:
        self.pid = pid
        self.port = port
        self.status: int | None = None
        self._log = log
        # There is no TLS here, and to read the certificates it would trust takes longer than many a test.
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_SECONDS, verify=False)

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def until(self, text: str, times: int = 1) -> None:
        try:
            wait_for(lambda: self.said.count(text) >= times or self.ended())
        except AssertionError:
            raise AssertionError(f"{text!r} was not said:\n{self.said}") from None
        assert self.said.count(text) >= times, self.said

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def signal(self, number: int) -> None:
        if not self.ended():
            os.kill(self.pid, number)

    def close(self) -> None:
        self.client.close()
        self.signal(signal.SIGINT)
        with contextlib.suppress(AssertionError):
            wait_for(self.ended, 10)
        self.signal(signal.SIGKILL)
        wait_for(self.ended, 5)


@contextlib.contextmanager
def running(project: pathlib.Path, *arguments: str, stdout: int | None = None, **environ: str) -> Iterator[Run]:
    """Without a terminal, in the environment of the tests unless `arguments` say otherwise. `stdout` takes what else
    would be in `said`, beside the words of the command itself."""
    port, log = free_port(), project.parent / "said"
    with log.open("wb") as out:
        process = subprocess.Popen(
            _command(port, project, arguments),
            cwd=project.parent,
            env=_environ(project, environ),
            stdin=subprocess.DEVNULL,
            stdout=out if stdout is None else stdout,
            stderr=out,
        )
    run = Run(process.pid, port, log)
    try:
        yield run
    finally:
        run.close()
        process.returncode = run.status


class Terminal(Run):
    """The command at a terminal of its own; `type` is what somebody types there."""

    def __init__(self, pid: int, fd: int, port: int, log: pathlib.Path) -> None:
        super().__init__(pid, port, log)
        self._fd = fd
        log.write_bytes(b"")

    @property
    def said(self) -> str:
        with self._log.open("ab") as log:
            while select.select([self._fd], [], [], 0)[0]:
                try:
                    log.write(os.read(self._fd, 65536))
                except OSError:
                    break
        return super().said

    @property
    def in_front(self) -> int:
        """The process group that has the terminal."""
        return os.tcgetpgrp(self._fd)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())


@contextlib.contextmanager
def at_a_terminal(project: pathlib.Path, *arguments: str, **environ: str) -> Iterator[Terminal]:
    port = free_port()
    command, env = _command(port, project, arguments), _environ(project, environ)
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(command[0], command, env)
    run = Terminal(pid, fd, port, project.parent / "said")
    try:
        yield run
    finally:
        run.close()
        os.close(fd)


def _command(port: int, project: pathlib.Path, arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-P", "-m", "cortex_client.cli", "run", str(project), "--port", str(port), *arguments]


def _environ(project: pathlib.Path, environ: dict[str, str]) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONBREAKPOINT")}
    return {**mine, "CORTEX_HOME": str(project.parent / "home"), "UV_OFFLINE": "1", "NO_COLOR": "1", **environ}
