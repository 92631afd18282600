"""Starts the apiserver: settings, adapters, core, servicers. The only place here that builds clients."""

import asyncio
import os
import random
import uuid

import structlog

from services.apiserver import (
    announcing,
    archive,
    blobs,
    board,
    collecting,
    deploying,
    drafting,
    introduction,
    neighbours,
    node,
    reconciler,
    servicer_api,
    servicer_bundles,
    servicer_events,
    servicer_gateways,
    settings,
    watch,
)
from services.apiserver.store import schema, session, sql
from services.apiserver.xds import ads, gateway, listener
from services.chassis import channels, clock, server, telemetry
from services.chassis import settings as loader

_log = structlog.get_logger("apiserver")


async def serve(chosen: settings.Settings) -> None:
    tracing = telemetry.set_up_tracing("cortex-apiserver", uuid.uuid4().hex, os.environ)
    database, now, rng = session.Database(chosen.database), clock.SystemClock(), random.Random()
    await schema.prepare(database)
    files = blobs.DiskBlobs(chosen.folder, archive.check)
    channel = channels.connect(chosen.node_address, tracing)
    backend = node.NodeBackend(channel, clock=now, rng=rng)
    options = listener.Options(
        chosen.data_address, _access_log(chosen), tracing=_gateway_traces(telemetry.collector(os.environ))
    )
    gateways = gateway.Gateway(options, now)
    hub = watch.Hub(most_watchers=chosen.max_streams)
    statuses = board.StatusBoard(hub, heard=lambda: backend.observed()[1])
    # The store tells the reconciler, and the reconciler writes to the store: the queue comes with the second.
    store = announcing.AnnouncingStore(sql.SqlStore(database), hub, lambda name: core.changed(name))
    core = reconciler.Reconciler(
        store=store, backend=backend, gateway=gateways, board=statuses, clock=now, rng=rng, gateway_url=chosen.url
    )
    index = blobs.Index(archive.files)
    apis = servicer_api.ApiServicer(
        store=store,
        deploying=deploying.Deploying(store=store, clock=now, new_uid=lambda: uuid.uuid4().hex),
        drafter=drafting.Drafter(files, index),
        introduction=introduction.Introduction(gateways),
        statuses=statuses,
        hub=hub,
        clock=now,
    )
    bundles = servicer_bundles.BundleServicer(store=files, index=index, max_bytes=chosen.max_bundle_bytes)
    events = servicer_events.EventServicer(store, hub)
    listed = servicer_gateways.GatewayServicer(gateways.statuses)
    doors = server.Server(chosen.listen, tracing)
    servicer_api.add(doors, apis)
    servicer_bundles.add(doors, bundles)
    servicer_events.add(doors, events)
    servicer_gateways.add(doors, listed)
    doors.describe(neighbours.SERVICES)
    doors.add_generic(ads.Ads(gateways, now).handlers())
    try:
        await server.run(doors, [core.run(), collecting.Collector(store, files, now).run()], grace=0.5)
    finally:
        await channel.close()
        await store.settle()
        await database.close()
        tracing.shutdown()


def _access_log(chosen: settings.Settings) -> str:
    chosen.access_log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(chosen.access_log)


def _gateway_traces(collector: telemetry.Collector | None) -> bool:
    if collector is not None and not collector.for_gateway:
        _log.warning(
            "the gateway sends traces over gRPC without TLS only: its spans are left out, the others are not",
            endpoint=collector.endpoint,
            protocol=collector.protocol,
        )
    return collector is not None and collector.for_gateway


def main() -> None:
    chosen = loader.load_or_exit(settings.Settings, os.environ, "apiserver")
    telemetry.set_up_logs("apiserver", chosen.log_level)
    asyncio.run(serve(chosen))


if __name__ == "__main__":
    main()
