"""Looks at the workers a few times a second: who stands still, who hangs, who takes too much memory, who is due.

A worker that is stopped (SIGSTOP, a disk that does not answer) is told from one that is merely busy by the state the
kernel reports, so native code that holds the GIL for a minute is nobody's concern here.
"""

import asyncio
import contextlib
import os
import pathlib
import random
import time
from typing import TYPE_CHECKING

from runtime import memory
from runtime.life import Life

if TYPE_CHECKING:
    from runtime.workers import Pool

_INTERVAL = 0.2
# Stopped for longer, a worker is ended and replaced; one that a debugger holds is left to it.
STOPPED_SECONDS = 2.0
# One look at a worker that reads from a disk finds it waiting for it; so many in a row, and it is stuck.
_STUCK_LOOKS = 4
_MEMORY_INTERVAL = 1.0
# Beyond this multiple of the limit a worker is ended at once.
HARD_LIMIT = 1.25
# A worker is not replaced before it has lived for so many times the seconds it took to load: what is too large from
# the start must not spend its time on loading.
_LEAST_LIFE = 4.0
_STRAY_INTERVAL = 10.0
# Requests have numbers of 32 bits on their way to a worker. It is replaced half-way there, so that the numbers last for
# as long as the successor takes to load, and for another try should it fail.
LAST_NUMBER = 1 << 31


class Sight:
    """What was seen of one worker the last time."""

    def __init__(self, now: float, max_requests: int, rng: random.Random) -> None:
        self.still_since = 0.0
        self.stuck = 0
        self.progress = (0, 0)
        self.progressed = now
        self.measured = 0.0
        self.abandoned: dict[int, float] = {}  # calls that run though nobody waits, since when
        self.max_requests = int(max_requests * rng.uniform(0.9, 1.1)) if max_requests else 0


class Watch:
    """One per replica."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._policy = pool.settings.worker
        self._sights: dict[Life, Sight] = {}
        self._rng = random.Random()
        self._server_still = 0.0
        self._strays: set[int] = set()
        self._next_strays = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            now = time.monotonic()
            for life in self._pool.lives:
                if life.running:
                    await self._look(life, self._sight(life, now), now)
            self._look_at_server(now)
            self._reap_strays(now)
            self._sights = {life: sight for life, sight in self._sights.items() if life.running}

    def _sight(self, life: Life, now: float) -> Sight:
        sight = self._sights.get(life)
        if sight is None:
            sight = self._sights[life] = Sight(now, self._policy.max_requests, self._rng)
        return sight

    async def _look(self, life: Life, sight: Sight, now: float) -> None:
        assert life.pid is not None
        self._look_at_state(life, sight, _state(life.pid), now)
        if life.loaded and life.state != "STOPPED":
            self._look_at_progress(life, sight, now)
            if self._policy.kill_on_cancel:
                self._look_at_cancelled(life, sight, now)
            if sight.max_requests and life.link.sent >= sight.max_requests:
                life.ask_for_successor(f"it has served {life.link.sent} requests (max_requests)")
            if life.link.sent >= LAST_NUMBER:
                life.ask_for_successor("its request numbers run out")
        if self._policy.memory_bytes and now - sight.measured >= _MEMORY_INTERVAL:
            await self._look_at_memory(life, sight, now)

    def _look_at_state(self, life: Life, sight: Sight, state: str, now: float) -> None:
        sight.stuck = sight.stuck + 1 if state == "D" else 0
        still = state in ("T", "t") or sight.stuck >= _STUCK_LOOKS
        if not still:
            sight.still_since = 0.0
            if life.state == "STOPPED":
                life.resume()
                self._say(life, "goes on")
            return
        if not sight.still_since:
            sight.still_since = now
            if life.loaded and life.state != "STOPPED":
                life.suspend()
                self._say(life, "is stopped" if state in ("T", "t") else "waits for a disk that does not answer")
        elif state == "T" and now - sight.still_since >= STOPPED_SECONDS:
            life.kill("WORKER_DIED", f"was stopped for {STOPPED_SECONDS:g} s, so it was ended")

    def _look_at_progress(self, life: Life, sight: Sight, now: float) -> None:
        worker = life.worker
        assert worker is not None
        progress = (worker.begun, worker.link.heard)
        if progress != sight.progress or not worker.link.busy:
            sight.progress, sight.progressed = progress, now
        elif self._policy.hang_timeout and now - sight.progressed > self._policy.hang_timeout:
            text = f"made no progress for {self._policy.hang_timeout:g} s (worker.hang_timeout), so it was ended"
            life.kill("WORKER_DIED", text)

    def _look_at_cancelled(self, life: Life, sight: Sight, now: float) -> None:
        """What was cancelled had time to end: plain code at its next bytecode, native code when it returns."""
        begun = life.worker.begun if life.worker is not None else 0  # the rest will be skipped when its turn comes
        abandoned = [number for number in life.link.abandoned if number <= begun]
        sight.abandoned = {number: sight.abandoned.get(number, now) for number in abandoned}
        if any(now - since > self._policy.cancel_grace for since in sight.abandoned.values()):
            grace = f"{self._policy.cancel_grace:g} s (worker.cancel_grace)"
            life.kill("WORKER_DIED", f"went on with a cancelled request for {grace}, so it was ended")

    async def _look_at_memory(self, life: Life, sight: Sight, now: float) -> None:
        limit, pid = self._policy.memory_bytes, life.pid
        assert pid is not None
        sight.measured = now
        if memory.resident(pid) <= limit:
            return
        used = await asyncio.to_thread(memory.proportional, pid)
        if not life.running or used <= limit:
            return
        if used > HARD_LIMIT * limit:
            text = f"took {used} bytes of memory, limit {limit} (worker.memory_bytes), so it was ended"
            life.kill("OUT_OF_MEMORY", text)
        elif life.loaded and now - life.born > life.load_seconds * (1 + _LEAST_LIFE):
            life.ask_for_successor(f"it takes {used} bytes of memory, limit {limit} (worker.memory_bytes)")

    def _look_at_server(self, now: float) -> None:
        """Nobody stops the fork server for a reason, and it would be missed when it is needed."""
        server = self._pool.fork_server
        if server is None or server.pid is None or _state(server.pid) != "T":
            self._server_still = 0.0
        elif not self._server_still:
            self._server_still = now
        elif now - self._server_still >= STOPPED_SECONDS / 2:
            server.kill()

    def _reap_strays(self, now: float) -> None:
        """Orphans of what user code has started become the front's children, too. A zombie that nobody has waited for
        in all that time is one of them."""
        if now < self._next_strays:
            return
        self._next_strays = now + _STRAY_INTERVAL
        zombies = {pid for pid in _children() if _state(pid) == "Z"}
        for pid in zombies & self._strays:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._strays = zombies

    def _say(self, life: Life, text: str) -> None:
        line = f"worker {life.name} (pid {life.pid}) {text}"
        self._pool.log.line("warning", line, source="cortex", worker=life.name)


def _state(pid: int) -> str:
    """The letter of ps; empty when the process is gone or this is no Linux."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return ""
    # Unbuffered, as this is read of every worker several times a second.
    try:
        text = os.read(fd, 512)
    except OSError:
        return ""
    finally:
        os.close(fd)
    # After the program's name, which is in brackets and may hold anything.
    return text[text.rfind(b")") + 2 :][:1].decode()


def _children() -> list[int]:
    found: list[int] = []
    for file in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, file.read_text().split())
    return found
