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
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime import asks, guard, head_start, log_pipes, logs, spawn
from runtime.user_python import Interpreter
from services.chassis import backoff

NAME = "fork-server"
_PR_SET_CHILD_SUBREAPER = 36
# A fork copies page tables: tens of milliseconds for what is large. Beyond this the server hangs.
_FORK_SECONDS = 10.0
_ADVICE = (
    "worker.start is fork-loaded, but {}. Do that in after_fork(self), which runs in every worker, or choose "
    "worker.start: fork-server (docs/reference/workers.md)"
)
_DEATHS = 5
_DEATH_WINDOW = 60.0


class Unavailable(OSError):
    """No worker can be forked; the text says why. `reason` is a CONDITION_REASON without its prefix."""

    def __init__(self, text: str, reason: str = "CONSTRUCTOR_FAILED") -> None:
        super().__init__(text)
        self.reason = reason


class TooSlow(Unavailable):
    """What it has to import or load took all the time that a start may take; another way would take as long."""


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent ends, as the forked workers' does at once."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise Unavailable(f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(ctypes.get_errno())}")


class ForkServer:
    """One at a time, and its successors.

    With `setup` it constructs the predictor before it forks (worker.start: fork-loaded). That one takes the memory of a
    model, so its successor starts when it is needed; one that has only imported is replaced at once.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        plan: Mapping[str, Any],
        *,
        running: head_start.Launched | None,
        start_timeout: float,
        log: logs.LogFile,
        watch: guard.Guard,
        answers: asks.Asks,
    ) -> None:
        self._interpreter = interpreter
        self._plan = plan
        self.loads = plan["setup"] is not None
        self._running = running  # the first, which has started before us
        self._start_timeout = start_timeout
        self._log = log
        self._watch = watch
        self._asks = answers
        self._process: spawn.Process | None = running.process if running is not None else None
        self._sock: socket.socket | None = None
        self._rest = b""
        self._ready = asyncio.Event()  # it can fork, or will not
        self._needed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._refusal: Unavailable | None = None
        self._heard_why = False  # this process has said why it will not fork, or was ended for a reason
        self._unusable = False
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
            if self.loads:
                await self._needed.wait()
                self._needed.clear()
            try:
                await self._live_once()
            except OSError as error:
                self._refuse(str(error))
            if not self._unusable and not self._closed:
                await asyncio.sleep(self._backoff.delay(len(self._deaths), random.Random()))

    async def _live_once(self) -> None:
        launched, self._running = self._running, None
        if launched is None:
            launched = head_start.launch(self._interpreter, 3 if self.loads else 1, self._watch)
        process, pipes = launched.process, spawn.Pipes(launched.stdout, launched.stderr)
        sock, *loading = launched.socks
        self._process, self._sock, self._rest = process, sock, b""
        self._heard_why = False
        self.on_launch()
        exited = asyncio.ensure_future(spawn.ended(process))
        transports: list[asyncio.BaseTransport] = []
        try:
            await pipes.connect(self._log, NAME)
            transports += await self._connect(loading)
            await self._prepare(sock, pipes.tail, told=launched.told)
            await exited
        finally:
            self.kill()
            await exited
            self._watch.ended(process.pid)
            sock.close()
            for transport in transports:
                transport.close()
            self._sock = None
            self._note_end(process, pipes.tail)

    async def _connect(self, socks: Sequence[socket.socket]) -> list[asyncio.BaseTransport]:
        """The control and log sockets of one that loads."""
        loop = asyncio.get_running_loop()
        made: tuple[Callable[[], asyncio.Protocol], ...] = (
            lambda: asks.Control(self._asks),
            lambda: log_pipes.JsonLines(self._log),
        )
        transports: list[asyncio.BaseTransport] = []
        for sock, protocol in zip(socks, made, strict=False):
            sock.setblocking(False)
            transport, _ = await loop.create_unix_connection(protocol, sock=sock)
            transports.append(transport)
        return transports

    async def _prepare(self, sock: socket.socket, tail: logs.Tail, *, told: bool) -> None:
        """Tells it what to import and load, and hears whether it can fork."""
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            if not told:
                await asyncio.get_running_loop().sock_sendall(sock, head_start.encode(self._plan))
            answer = await self._hear(sock)
            self._heard_why = "ready" not in answer
            if "failed" in answer:
                self._refuse(answer["failed"][1], answer["failed"][0])
            elif "unusable" in answer:
                self._refuse((_ADVICE if self.loads else "{}").format(answer["unusable"]))
            else:
                names = ", ".join(answer["ready"])
                self._log.say("debug", f"the fork server has imported {names or 'nothing of the user'}")
                self._needed.clear()
                self._ready.set()

    def _note_end(self, process: spawn.Process, tail: logs.Tail) -> None:
        text = f"the fork server {spawn.exit_text(process.returncode)}"
        if self._refusal is not None or self._closed:
            return
        if self.loads and self._heard_why:
            return  # who asked was told already; a second reason would be the next start's
        self._deaths.append(time.monotonic())
        recent = sum(1 for at in self._deaths if at > time.monotonic() - _DEATH_WINDOW)
        if not self._ready.is_set():
            done = "loaded the predictor" if self.loads else "imported what the predictor needs"
            reason = "OUT_OF_MEMORY" if process.returncode == -signal.SIGKILL else "CONSTRUCTOR_FAILED"
            self._refuse(f"{text} while it {done}\n{tail}".strip(), reason)
        elif recent >= _DEATHS and not self.loads:
            self._refuse(f"{text} for the {recent}th time within {_DEATH_WINDOW:g} s")
        else:
            self._ready.clear()
            again = "another starts when it is needed" if self.loads else "starting another"
            self._log.say("warning", f"{text}; {again}, its workers live on")

    def _refuse(self, why: str, reason: str = "CONSTRUCTOR_FAILED") -> None:
        """Who waits for a worker hears of it. Where the predictor is loaded here there is another try when a worker is
        needed again; where only imports failed, every worker makes them itself from now on."""
        if self.loads:
            self._refusal = Unavailable(why, reason)
        else:
            self._unusable = True
            self._refusal = Unavailable(why, reason)
            first = why.partition("\n")[0]
            self._log.say("warning", f"workers get an interpreter of their own each (worker.start: spawn): {first}")
        self._ready.set()

    async def fork(self, fds: Sequence[int]) -> spawn.Process:
        """A worker with these descriptors. Raises Unavailable."""
        await self._wait_until_ready()
        async with self._lock:
            sock = self._sock
            if self._refusal is not None or sock is None:
                raise self._take_refusal()
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

    async def _wait_until_ready(self) -> None:
        if not self._ready.is_set():
            self._needed.set()
        try:
            async with asyncio.timeout(self._start_timeout):
                await self._ready.wait()
        except TimeoutError:
            self._heard_why = True
            self.kill()
            what = "" if self.loads else ": its imports take longer"
            text = f"the predictor did not load within {self._start_timeout:g} s (start_timeout){what}"
            raise TooSlow(text) from None

    def _take_refusal(self) -> Unavailable:
        refusal = self._refusal or Unavailable("the fork server has just ended")
        if self.loads:
            self._refusal = None
            self._ready.clear()
        return refusal

    async def _hear(self, sock: socket.socket) -> dict[str, Any]:
        """The next message. Raises Unavailable."""
        while b"\n" not in self._rest:
            part = await asyncio.get_running_loop().sock_recv(sock, 65536)
            if not part:
                raise Unavailable("it ended")
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
        self._needed.set()
        self._ready.set()
        self.kill()
