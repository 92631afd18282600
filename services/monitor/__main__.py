"""Starts the monitor: the only place that reads the environment and builds clients.

The database is opened after the server answers: SQLAlchemy takes longer to import than all the rest, and reports are
welcome meanwhile.
"""

import asyncio
import importlib
import os
import random
import sys

import prometheus_client
import structlog

from cortex.monitor.v1 import monitor_service_pb2, monitor_service_pb2_grpc
from services.chassis import clock, server, settings, telemetry
from services.monitor import exposition, history, ports, prometheus, queries, registry, servicer
from services.monitor import settings as own

_log = structlog.get_logger("monitor")
_LAST_SAVE_SECONDS = 8.0


async def serve(config: own.Settings) -> None:
    tracing = telemetry.set_up_tracing("cortex-monitor", str(os.getpid()), os.environ)
    time_source = clock.SystemClock()
    memory = registry.Registry(most_replicas=config.monitor_most_replicas)

    async def connect() -> ports.HistoryStore:
        sql = await asyncio.to_thread(importlib.import_module, "services.monitor.store.sql")
        store: ports.HistoryStore = await sql.connect(config.database_url())
        return store

    past = history.History(
        memory, connect, save_seconds=config.monitor_save_seconds, time_source=time_source, rng=random.Random()
    )
    shown = prometheus_client.CollectorRegistry()
    shown.register(prometheus.MonitorCollector(memory, past.health, time_source.now))
    endpoint = exposition.Endpoint(shown)
    port = await endpoint.start(config.metrics_address)
    _log.info("metrics endpoint", address=config.metrics_address, port=port)
    main = server.Server(config.listen, tracing)
    handler = servicer.MonitorServicer(memory, queries.Queries(memory, past), time_source)
    name = monitor_service_pb2.DESCRIPTOR.services_by_name["MonitorService"].full_name
    main.add(monitor_service_pb2_grpc.add_MonitorServiceServicer_to_server, handler, name)
    try:
        # Replicas report on streams that never end; they open a new one, so there is nothing to wait for.
        await server.run(main, [past.run()], grace=0.3)
    finally:
        endpoint.close()
        await _save_last(past)
        tracing.shutdown()


async def _save_last(past: history.History) -> None:
    try:
        async with asyncio.timeout(_LAST_SAVE_SECONDS):
            await past.finish()
    except TimeoutError:
        _log.warning("the last metrics were not saved: the database did not answer in time")


def main() -> None:
    try:
        config = settings.load(own.Settings, os.environ)
    except settings.SettingsError as error:
        sys.exit(f"monitor: {error}")
    telemetry.set_up_logs("monitor", config.log_level)
    asyncio.run(serve(config))


if __name__ == "__main__":
    main()
