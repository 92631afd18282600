"""The life of `cortex run`: a first replica, a new one for each change, the old one until the new one is ready."""

import asyncio
import dataclasses
import os
import pathlib
import signal
import time
from typing import Any

from cortex_client import exceptions
from cortex_client.cli import exits
from cortex_client.running import bytecode, generation, plan, printer, scratch, terminal, watching
from cortex_client.running.relay import Relay

_HOST = "127.0.0.1"
_TICK_SECONDS = 0.5
# Well below the age at which the node may collect an environment that none of its replicas uses.
_KEEP_SECONDS = 200.0
# As good as none: a person at a breakpoint is not slow.
_DEBUG_START_SECONDS = 86_400
_LAST_WORDS_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """`here` is an interpreter to use as it is, `terminal` the device a debugger may open; either may be empty."""

    file: pathlib.Path
    name: str = ""
    port: int = 8888
    grpc_port: int | None = None
    reload: bool = True
    debug: bool = False
    here: str = ""
    terminal: str = ""


class Loop:
    def __init__(self, options: Options, folder: pathlib.Path, said: printer.Printer) -> None:
        self._options = options
        self._printer = said
        self._folder = folder
        self._relay = Relay(_HOST)
        self._serving: generation.Generation | None = None
        self._prepared: plan.Prepared | None = None
        self._read: plan.Project | None = None
        self._content = ""
        self._count = 0
        self._leaving: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopped)
        port = await self._relay.listen(self._options.port, self._options.grpc_port)
        working = asyncio.ensure_future(self._work(port))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else 0
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
            await self._close()

    def _stopped(self) -> None:
        """The second time, what drains is cut short."""
        if self._stop.is_set() and self._serving is not None:
            self._serving.hurry()
        self._stop.set()

    async def _work(self, port: int) -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep())]
            changed = asyncio.Event()
            if self._options.reload:
                tasks.append(group.create_task(self._watch(changed)))
            while await self._load(port, changed) or self._options.reload:
                await self._wait(changed)
            for task in tasks:
                task.cancel()
        return 1

    async def _watch(self, changed: asyncio.Event) -> None:
        try:
            async for _ in watching.changes(self._options.file.parent.absolute()):
                changed.set()
        except (ImportError, OSError, RuntimeError) as error:
            # Not installed, or the machine has no more watches to give.
            self._printer.note(f"edits are not seen: {error}")

    async def _wait(self, changed: asyncio.Event) -> None:
        """Until there is something to load: an edit, or the end of the replica by itself."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(changed.wait())]
        if self._serving is not None:
            waits.append(asyncio.ensure_future(self._serving.ended()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if self._serving is not None and waits[-1].done() and not changed.is_set():
                self._printer.note(f"the replica ended by itself with status {waits[-1].result()}; it is started again")
                self._serving, self._content = None, ""
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            changed.clear()
            for each in waits:
                each.cancel()

    async def _keep(self) -> None:
        """What has to be looked after while nothing happens."""
        kept = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            terminal.reclaim()
            if self._prepared is not None and time.monotonic() - kept > _KEEP_SECONDS:
                self._prepared.keep()
                kept = time.monotonic()

    async def _load(self, port: int, changed: asyncio.Event) -> bool:
        """Loads what is there. An edit of its code meanwhile begins anew, so that what hangs can be mended."""
        later = False
        attempt = asyncio.ensure_future(self._replace(port))
        try:
            while not await _first(attempt, changed):
                changed.clear()
                if self._outdated():
                    await _abandon(attempt)
                    attempt = asyncio.ensure_future(self._replace(port))
                else:
                    later = True
            return attempt.result()
        finally:
            await _abandon(attempt)
            if later:
                changed.set()

    def _outdated(self) -> bool:
        """Whether the code that is being loaded has become another; one that cannot be read is looked at afterwards."""
        try:
            now = plan.read(self._options.file, self._options.name)
        except (exceptions.CortexError, OSError):
            return False
        return self._read is not None and not now.loads_as(self._read)

    async def _replace(self, port: int) -> bool:
        """Brings up what the folder holds now; whatever goes wrong with that is told, and what served serves on."""
        try:
            project = plan.read(self._options.file, self._options.name)
            if project.content == self._content:
                return True
            self._content = project.content
            self._printer.note("changed, loading" if self._read else f"loading {project.api.name}")
            if self._read is not None:
                bytecode.forget(project, self._read)
            self._read = project
            prepared = await plan.prepare(project, self._options.here, self._printer.note)
            fresh = await self._begin(project, prepared)
        except exceptions.CortexError as error:
            self._printer.err(exits.describe(error))
            fresh = None
        except OSError as error:
            # Files come and go while somebody edits; what is there in the end is a change of its own.
            self._printer.note(f"the project cannot be read: {error}")
            fresh, self._content = None, ""
        if fresh is None:
            self._printer.note(
                "the version before serves on" if self._serving else "nothing serves until that is mended"
            )
            return False
        self._relay.point(fresh.http, fresh.grpc)
        self._retire()
        self._serving, self._prepared = fresh, prepared
        self._printer.note(_address(prepared.spec, port))
        return True

    async def _begin(self, project: plan.Project, prepared: plan.Prepared) -> generation.Generation | None:
        self._count += 1
        fresh = generation.Generation(self._folder, self._count, self._printer.out)
        try:
            await fresh.start(project, self._debuggable(prepared), self._overrides())
            if await fresh.ready():
                return fresh
        except BaseException:
            await fresh.stop()
            raise
        return None

    def _debuggable(self, prepared: plan.Prepared) -> plan.Prepared:
        """With a terminal, breakpoints open a debugger in it, and no clock runs against who sits there."""
        given = terminal.variables(self._options.terminal, os.environ.get("PYTHONBREAKPOINT"))
        if not given and not self._options.debug:
            return prepared
        predictor = dict(prepared.spec["predictor"])
        predictor["env"] = {**predictor.get("env", {}), **given}
        predictor["worker"] = {**predictor.get("worker", {}), "hangTimeout": "0s", "onCancel": "CANCEL_POLICY_WAIT"}
        if self._options.debug:
            predictor |= {"processesPerReplica": 1, "threadsPerProcess": 1}
        networking = {**prepared.spec["networking"], "requestTimeout": "0s"}
        spec = {**prepared.spec, "predictor": predictor, "networking": networking}
        return dataclasses.replace(prepared, spec=spec)

    def _overrides(self) -> dict[str, Any]:
        patient = self._options.debug or self._options.terminal
        return {"startTimeout": f"{_DEBUG_START_SECONDS}s"} if patient else {}

    def _retire(self) -> None:
        if self._serving is not None:
            task = asyncio.create_task(self._serving.stop())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _close(self) -> None:
        self._relay.refuse()
        if self._serving is not None:
            await self._serving.stop()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._relay.close()


async def _first(attempt: asyncio.Future[bool], changed: asyncio.Event) -> bool:
    """Waits until one of the two has come; True when it was the attempt."""
    seen = asyncio.ensure_future(changed.wait())
    both: list[asyncio.Future[Any]] = [attempt, seen]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        seen.cancel()
    return attempt.done()


async def _abandon(attempt: asyncio.Future[bool]) -> None:
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)


def _address(spec: dict[str, Any], port: int) -> str:
    return f"serving http://{_HOST}:{port}{spec['networking']['endpoint']} (and /)"


async def serve(options: Options) -> int:
    """Runs until it is told to stop; returns the exit status."""
    said, status = printer.Printer(), 1
    try:
        with scratch.folder() as folder:
            status = await Loop(options, folder, said).run()
        return status
    finally:
        if not await asyncio.to_thread(said.close, _LAST_WORDS_SECONDS):
            os._exit(status)  # Python would wait for whoever does not read
