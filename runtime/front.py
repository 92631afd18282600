"""The replica: doors, dispatcher and workers put together, and the order in which they start, drain and stop."""

import asyncio
import contextlib
import gc
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from runtime import (
    asks,
    dispatch,
    errors,
    guard,
    head_start,
    http_door,
    logs,
    metrics,
    mounts,
    parts,
    slabs,
    state_file,
    tracing,
    workers,
)
from runtime.config import Settings

if TYPE_CHECKING:
    import grpc

    from runtime import user_service
    from runtime.grpc_door import GrpcDoor
    from runtime.models.repository import Repository
    from runtime.oip.http_door import OipDoor
    from runtime.oip.registry import Registry
    from runtime.triton.part import ModelServer

# Draining ends once nothing came for this long: what the gateway sent before it heard of the stop is still served.
_QUIET_SECONDS = 0.3


class Replica:
    """Runs until told to stop; `run` returns the exit status."""

    def __init__(
        self,
        settings: Settings,
        log: logs.LogFile,
        watch: guard.Guard,
        service: "user_service.Service | None" = None,
        running: head_start.Launched | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._service = service
        self._log = log
        self._metrics = metrics.Metrics()
        self._spans = tracing.set_up(settings.replica, settings.api, os.environ)
        self._dispatcher = dispatch.Dispatcher(
            loop=loop,
            limit=settings.max_concurrency,
            request_timeout=settings.request_timeout,
            metrics=self._metrics,
            spans=self._spans,
            batching=settings.batching,
        )
        self._asks = asks.Asks()
        self._asks.register("metrics", self._metrics.custom.answer)
        self._repository: Repository | None = None
        self._pool: workers.Pool | None = None
        self._server: ModelServer | None = None
        self._parts = self._assemble(settings, log, watch, running)
        self._door = http_door.HttpDoor(settings, self._dispatcher, lambda: self._ready, self._engine_info)
        self._share_bodies()
        self._mount_openai(settings)
        self._engines: Registry  # with `_oip`
        self._oip: OipDoor | None = None
        self._door.mounts.add(b"v2", self._first_of_oip)
        self._door.mounts.decoding.add(b"v2")
        self._grpc: GrpcDoor | None = None
        self._grpc_listens = not settings.grpc_address
        self._state = state_file.StateFile(settings.state_file, self._observe)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._ready_time: float | None = None
        self._failure: state_file.LoadFailure | None = None
        self._changed = asyncio.Event()
        self._stopped_at = 0.0

    def _assemble(
        self, settings: Settings, log: logs.LogFile, watch: guard.Guard, running: head_start.Launched | None
    ) -> parts.Parts:
        """Workers for a predictor, a server for models; the framework types have both."""
        made: list[parts.Part] = []
        if settings.predictor_type != "triton":
            self._pool = workers.Pool(settings, self._dispatcher, log, watch, self._asks, self._on_change, running)
            made.append(self._pool)
        else:
            self._dispatcher.absent = errors.NO_PREDICTOR
        if settings.predictor_type != "python":
            from runtime.triton.desk import Desk
            from runtime.triton.part import ModelServer

            self._server = ModelServer(settings, log, watch, self._on_change, self._spans)
            Desk(self._server.residents, settings.request_timeout).register(self._asks)
            made.append(self._server)
        return parts.Parts(made)

    def _share_bodies(self) -> None:
        """With workers, large request bodies go through memory that they see."""
        slab = slabs.make() if self._pool is not None else None
        if slab is not None and self._pool is not None:
            self._door.slab, self._pool.bodies = slab, slab.told

    def _mount_openai(self, settings: Settings) -> None:
        if settings.task:
            from runtime.openai import routes

            models = (settings.short_name, *routes.model_names(settings.models))
            api = routes.Routes(self._dispatcher, settings.task, models, self._log.say, self._door.scribe)
            self._door.mounts.add(b"v1", api.serve)

    def _engine_info(self) -> dict[str, Any]:
        told = self._server.info() if self._server is not None else {}
        if self._repository is not None and (told or self._dispatcher.offer):
            told["models"] = self._repository.describe()
        return told

    async def _first_of_oip(self, visit: mounts.Visit) -> None:
        await self._open_oip()(visit)

    def _open_oip(self) -> "OipDoor":
        """On first use: its imports would only delay a start."""
        if self._oip is None:
            from runtime.oip import http_door as oip_door
            from runtime.oip import predictor_engine, registry, shared_memory

            self._engines = registry.Registry()
            predictor = None
            if self._settings.predictor_type != "triton":
                predictor = predictor_engine.PredictorEngine(self._settings, self._dispatcher)
                self._engines.add(predictor)
            elif self._server is not None:
                self._engines.add(self._server.engine)
            self._oip = oip_door.OipDoor(
                self._settings,
                self._engines,
                self._door.bodies,
                self._serves,
                lambda: self._dispatcher.wants_headers,
                shared_memory.Regions(),
                predictor,
                self._door.scribe,
            )
            self._door.mounts.add(b"v2", self._oip, self._oip.quick)
        return self._oip

    def _oip_handlers(self) -> "grpc.GenericRpcHandler":
        from runtime.oip import grpc_servicer

        regions = self._open_oip().regions
        service = grpc_servicer.InferenceService(self._settings, self._engines, self._door, self._serves, regions)
        return service.handlers()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        await self._door.listen()
        self._log.say("info", f"listening on {self._settings.http_address}")
        tasks: list[asyncio.Future[None]] = [
            asyncio.ensure_future(task) for task in (self._work(), self._state.run(), self._door.sweep())
        ]
        tasks += [asyncio.ensure_future(self._grpc_and_metrics()), asyncio.ensure_future(self._stopped())]
        try:
            waited: list[asyncio.Future[Any]] = [*tasks, self._parts.fatal]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._parts.fatal.done():
                self._failure = self._parts.fatal.result()
                return 1
            for task in tasks:
                if task.done() and not self._stop.is_set():
                    task.result()
            await self._drain()
            return 0
        finally:
            await self._shut_down(tasks)

    async def _work(self) -> None:
        """First the models that are to be here before anything is loaded, then the workers."""
        if not self._settings.models:
            await self._parts.run()
            return
        from runtime.models import desk, opening

        try:
            self._repository = opening.open_repository(self._settings, self._log.say, os.environ)
            self._repository.shelf.on_progress = self._state.changed
            desk.Desk(self._repository).register(self._asks)
            await self._repository.start()
        except opening.FAILURES as error:
            self._log.say("error", str(error))
            self._parts.fatal.set_result(state_file.LoadFailure("MODEL_FAILED", str(error), None, time.time()))
            return
        if self._server is not None:
            self._server.attach(self._repository)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repository.run())
            group.create_task(self._parts.run())

    async def _stopped(self) -> None:
        await self._stop.wait()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    async def _grpc_and_metrics(self) -> None:
        """What comes up a little later than the HTTP port: its imports are heavy, and the workers import meanwhile."""
        if self._pool is not None:
            await self._pool.launched.wait()
        async with asyncio.TaskGroup() as group:
            if self._settings.grpc_address:
                from runtime.grpc_door import GrpcDoor
                from runtime.oip import grpc_service as oip

                self._grpc = GrpcDoor(self._settings, self._dispatcher, self._door)
                self._grpc.add(oip.SERVICE, oip.OnFirstCall(self._oip_handlers), oip.POOL)
                if self._service is not None:
                    from runtime.grpc_user import UserService

                    user = UserService(self._service, self._dispatcher, self._door)
                    self._grpc.add(self._service.name, user.handlers(), self._service.pool())
                await self._grpc.start()
                self._grpc_listens = True
                self._on_change()
                group.create_task(self._follow_health(self._grpc))
            if self._settings.monitor_address:
                group.create_task(self._report())
            await asyncio.Event().wait()

    async def _report(self) -> None:
        import grpc

        from runtime.reporter import Reporter

        dispatcher = self._dispatcher
        reporter = Reporter(self._settings, self._metrics, lambda: (dispatcher.in_flight, dispatcher.queued))
        options = (("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 2000))
        async with grpc.aio.insecure_channel(self._settings.monitor_address, options=options) as channel:
            try:
                await reporter.run(channel)
            finally:
                with contextlib.suppress(asyncio.CancelledError):
                    await reporter.flush(channel, 1.0)

    async def _follow_health(self, door: "GrpcDoor") -> None:
        while True:
            self._changed.clear()
            await door.set_ready(ready=self._serves())
            await self._changed.wait()

    @property
    def _ready(self) -> bool:
        return self._parts.ready and self._grpc_listens

    def _serves(self) -> bool:
        return self._ready and not self._stop.is_set()

    def _on_change(self) -> None:
        if self._ready and self._ready_time is None:
            self._ready_time = time.time()
            gc.freeze()  # a full collection takes 15 ms of what is here for good, in the middle of a request
            self._log.say("info", "ready")
        self._state.changed()
        self._changed.set()

    def _observe(self) -> state_file.State:
        failure = self._failure or self._parts.failure
        if self._stop.is_set():
            state = "DRAINING"
        elif self._failure is not None:
            state = "UNREADY"
        elif self._ready:
            state = "READY"
        else:
            state = "UNREADY" if self._parts.started and self._grpc_listens else "STARTING"
        text = failure.message.rstrip().rsplit("\n", 1)[-1] if failure else ""
        if self._repository is not None:
            text = text or self._repository.shelf.progress
        fork_server = self._pool.fork_server_pid if self._pool is not None else None
        return state_file.State(state, text, self._ready_time, failure, self._parts.describe(), fork_server)

    async def _drain(self) -> None:
        """Serves what is here and what still comes, until it is quiet or time is up."""
        self._log.say("info", f"draining {self._dispatcher.in_flight} requests")
        self._door.draining = True
        self._stopped_at = self._door.now()
        self._on_change()
        hurry = asyncio.ensure_future(self._stop_now.wait())
        try:
            async with asyncio.timeout(self._settings.drain_timeout):
                while not hurry.done() and not self._is_quiet():
                    await asyncio.wait([hurry], timeout=0.02)
        except TimeoutError:
            self._log.say("warning", f"drain_timeout passed with {self._dispatcher.in_flight} requests unfinished")
        finally:
            hurry.cancel()

    def _is_quiet(self) -> bool:
        since = max(self._door.last_request, self._stopped_at)
        return self._dispatcher.in_flight == 0 and not self._door.busy and self._door.now() - since >= _QUIET_SECONDS

    async def _shut_down(self, tasks: "list[asyncio.Future[None]]") -> None:
        self._dispatcher.stop(errors.STOPPED)
        self._door.close()
        if self._grpc is not None:
            await self._grpc.stop(0.2)
        await self._parts.stop()
        if self._repository is not None:
            await self._repository.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._door.scribe.close()
        if self._spans is not None:
            await asyncio.to_thread(self._spans.shutdown)
        self._state.close()
        self._log.say("info", "stopped")
