"""The front's end of the fork server: starts it, asks it for workers, replaces it when it dies or hangs.

Where it cannot be used (an import fails or starts threads, it dies again and again) the log says so, and workers get an
interpreter of their own.
"""

import asyncio
import collections
import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime import guard, logs, spawn
from services.chassis import backoff

NAME = "fork-server"
_PR_SET_CHILD_SUBREAPER = 36
# A fork copies page tables: tens of milliseconds for what is large. Beyond this the server hangs.
_FORK_SECONDS = 10.0
_DEATHS = 5
_DEATH_WINDOW = 60.0


class Unavailable(OSError):
    """No worker can be forked; the text says why."""


class Died(Unavailable):
    """The fork server ended before it had answered."""


def supported() -> bool:
    return sys.platform.startswith("linux")


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent ends, as the forked workers' does at once."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise Unavailable(f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(ctypes.get_errno())}")


class ForkServer:
    """One at a time, and its successors."""

    def __init__(
        self, interpreter: spawn.Interpreter, plan: Mapping[str, Any], log: logs.LogFile, watch: guard.Guard
    ) -> None:
        self._interpreter = interpreter
        self._plan = plan
        self._log = log
        self._watch = watch
        self._process: spawn.Process | None = None
        self._sock: socket.socket | None = None
        self._rest = b""
        self._ready = asyncio.Event()  # it can fork, or never will
        self._lock = asyncio.Lock()
        self._unusable = ""
        self._deaths: collections.deque[float] = collections.deque(maxlen=_DEATHS)
        self._backoff = backoff.Backoff(first=0.1, longest=5.0)
        self._closed = False
        self.on_launch: Callable[[], None] = lambda: None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def run(self) -> None:
        """Until cancelled, or until it is clear that it cannot be used."""
        while not self._unusable and not self._closed:
            try:
                await self._live_once()
            except OSError as error:
                self._give_up(str(error))
            if not self._unusable and not self._closed:
                await asyncio.sleep(self._backoff.delay(len(self._deaths) - 1, random.Random()))

    async def _live_once(self) -> None:
        ours, theirs = socket.socketpair()
        pipes = spawn.Pipes()
        try:
            process = self._interpreter.run("fork_server", [theirs.fileno()], *pipes.theirs)
        except OSError:
            ours.close()
            pipes.close()
            raise
        finally:
            theirs.close()
            for fd in pipes.theirs:
                os.close(fd)
        self._process, self._sock, self._rest = process, ours, b""
        self._watch.began(process.pid)
        self.on_launch()
        exited = asyncio.ensure_future(spawn.ended(process))
        try:
            await pipes.connect(self._log, NAME)
            await self._prepare(ours)
            await exited
        finally:
            self.kill()
            await exited
            self._watch.ended(process.pid)
            ours.close()
            self._sock = None
            self._note_end(process)

    async def _prepare(self, sock: socket.socket) -> None:
        """Tells it what to import, and hears whether it can fork."""
        sock.setblocking(False)
        with contextlib.suppress(OSError, Died):
            await asyncio.get_running_loop().sock_sendall(sock, json.dumps(dict(self._plan)).encode() + b"\n")
            told = await self._hear(sock)
            if "unusable" in told:
                self._give_up(str(told["unusable"]))
                return
            self._log.say("debug", f"the fork server has imported {', '.join(told['ready']) or 'nothing of the user'}")
            self._ready.set()

    def _note_end(self, process: spawn.Process) -> None:
        was_ready = self._ready.is_set()
        if self._unusable or self._closed:
            return
        text = f"the fork server {spawn.exit_text(process.returncode)}"
        self._deaths.append(time.monotonic())
        recent = sum(1 for at in self._deaths if at > time.monotonic() - _DEATH_WINDOW)
        if not was_ready:
            self._give_up(f"{text} while it imported what the predictor needs")
        elif recent >= _DEATHS:
            self._give_up(f"{text} for the {recent}th time within {_DEATH_WINDOW:g} s")
        else:
            self._ready.clear()
            self._log.say("warning", f"{text}; starting another, its workers live on")

    def _give_up(self, why: str) -> None:
        self._unusable = why
        self._ready.set()
        self._log.say("warning", f"workers get an interpreter of their own each (worker.start: spawn): {why}")

    async def fork(self, fds: Sequence[int]) -> spawn.Process:
        """A worker with these descriptors. Raises Unavailable."""
        await self._ready.wait()
        async with self._lock:
            sock = self._sock
            if self._unusable or sock is None:
                raise Unavailable(self._unusable or "the fork server has just ended")
            try:
                async with asyncio.timeout(_FORK_SECONDS):
                    socket.send_fds(sock, [b"F"], fds)
                    pid = int((await self._hear(sock))["pid"])
            except BaseException as error:
                self.kill()  # what it says from now on is nobody's answer
                if isinstance(error, TimeoutError | OSError):
                    raise Unavailable(f"the fork server did not answer: {error or 'timeout'}") from error
                raise
            if pid <= 0:
                raise Unavailable("the fork server could not fork")
            return spawn.Forked(pid)

    async def _hear(self, sock: socket.socket) -> dict[str, Any]:
        """The next message. Raises Died."""
        while b"\n" not in self._rest:
            part = await asyncio.get_running_loop().sock_recv(sock, 65536)
            if not part:
                raise Died("it ended")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def kill(self) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ends it; the workers it has made do not notice."""
        self._closed = True
        self._ready.set()
        self.kill()
