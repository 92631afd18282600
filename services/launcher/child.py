"""One service kept alive: adopted when it runs already, started again when it dies, left alone when held down."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import pathlib
import random
import signal
import subprocess
import time
from collections.abc import Callable

from services.chassis import backoff, processes
from services.launcher import catalog, cluster, logs

_log = logging.getLogger("launcher")
_RETRY = backoff.Backoff(first=0.1, longest=5.0)
# A run this long makes the next crash the first one again.
_SETTLED = 10.0
_POLL = 0.1


class Child:
    """`stopped` is the file that keeps the service down while it exists."""

    def __init__(
        self,
        service: catalog.Service,
        before: cluster.Process | None,
        *,
        stopped: pathlib.Path,
        rng: random.Random,
        changed: Callable[[], None],
    ) -> None:
        self.service = service
        self._stopped = stopped
        self._rng = rng
        self._changed = changed
        self._popen: subprocess.Popen[bytes] | None = None
        self._prepared = False
        self._failures = 0
        self.process = before or cluster.Process(service.address, str(service.log))
        self.process = dataclasses.replace(self.process, address=service.address, log=str(service.log))

    async def run(self) -> None:
        """For ever; cancelling it leaves the process alone."""
        while True:
            if self._stopped.exists():
                await self.stop()
                await asyncio.sleep(_POLL)
            elif self.process.alive:
                await self._until_dead_or_stopped()
            else:
                await self._start()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the service's grace; returns once the process is gone."""
        identity = self.process.identity
        if identity is None:
            return
        processes.send_signal(identity, signal.SIGTERM)
        if not await self._gone_within(self.service.grace):
            _log.warning("%s did not end in %.0f s and is killed", self.service.name, self.service.grace)
            processes.kill_session(identity)
            await self._gone_within(2.0)
        self._failures = 0
        self.process = dataclasses.replace(self.process, restarts=0)
        self._ended("stopped on request")

    async def _start(self) -> None:
        if self._failures:
            await asyncio.sleep(_RETRY.delay(self._failures - 1, self._rng))
            if self._stopped.exists():
                return
        try:
            if not self._prepared:
                await self._prepare()
            self._spawn()
        except OSError as error:
            self._failures += 1
            _log.error("%s cannot be started: %s", self.service.name, error)
            self.process = dataclasses.replace(self.process, last_exit=f"cannot be started: {error}")
            self._changed()

    async def _prepare(self) -> None:
        if self.service.prepare:
            log = logs.open_for_child(self.service.log)
            try:
                made = await asyncio.create_subprocess_exec(
                    *self.service.prepare, env=dict(self.service.environ), stdin=subprocess.DEVNULL, stderr=log
                )
                async with asyncio.timeout(30.0):
                    status = await made.wait()
            except TimeoutError as error:
                made.kill()
                raise OSError("its preparation took more than 30 s") from error
            finally:
                os.close(log)
            if status != 0:
                raise OSError(f"its preparation failed with status {status}; see {self.service.log}")
        self._prepared = True

    def _spawn(self) -> None:
        log = logs.open_for_child(self.service.log)
        try:
            self._popen = subprocess.Popen(
                self.service.command,
                env=dict(self.service.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)
        self.process = dataclasses.replace(
            self.process,
            identity=processes.identify(self._popen.pid),
            start_time=time.time(),
            restarts=self.process.restarts + (1 if self._failures else 0),
        )
        _log.info("%s started as pid %d", self.service.name, self._popen.pid)
        self._changed()

    async def _until_dead_or_stopped(self) -> None:
        while not self._stopped.exists():
            if await self._gone_within(_POLL):
                self._ended(self._exit_words())
                settled = time.time() - self.process.start_time > _SETTLED
                self._failures = 1 if settled else self._failures + 1
                return

    def _ended(self, words: str) -> None:
        if self.process.identity is None:
            return
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        _log.warning("%s: %s", self.service.name, words)
        self.process = dataclasses.replace(self.process, identity=None, last_exit=f"{moment} {words}")
        self._changed()

    def _exit_words(self) -> str:
        if self._popen is None:
            return "ended; it was adopted, so nobody saw how"
        code = self._popen.wait()
        return f"ended by signal {-code}" if code < 0 else f"exited with status {code}"

    async def _gone_within(self, seconds: float) -> bool:
        """Waits for the end of the process, which need not be our child; wakes in the instant of its death."""
        identity = self.process.identity
        descriptor = processes.open_pidfd(identity) if identity else None
        if descriptor is None:
            return self._reap()
        loop, dead = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, dead.set)
        try:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: it can swallow a cancellation that comes together with the death.
                async with asyncio.timeout(seconds):
                    await dead.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return dead.is_set() and self._reap()

    def _reap(self) -> bool:
        if self._popen is not None:
            self._popen.poll()
        return True
