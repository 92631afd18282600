"""`python -m services.autoscaler`: the only place that builds clients."""

import asyncio
import os
import random
from collections.abc import Coroutine
from typing import Any

import grpc

from cortex.autoscaler.v1 import autoscaler_service_pb2_grpc as pb_grpc
from services.autoscaler import (
    activator,
    ancestor,
    apiserver,
    catalog,
    ext_authz,
    gateways,
    lrs,
    scaler,
    servicer,
)
from services.autoscaler import settings as options
from services.chassis import channels, clock, server, settings, telemetry


def assemble(
    chosen: options.Settings, channel: grpc.aio.Channel, tracing: telemetry.Telemetry, time: clock.Clock
) -> tuple[server.Server, list[Coroutine[Any, Any, None]]]:
    """The server and the loops that run beside it."""
    known, load = catalog.Catalog(), gateways.Gateways()
    upstream = apiserver.ApiServer(channel=channel, known=known, time=time, rng=random.Random())
    core = scaler.Scaler(
        rule=ancestor.Ancestor(),
        known=known,
        load=load,
        scales=upstream,
        time=time,
        interval=chosen.autoscaler_interval,
    )
    door = activator.Activator(known=known, wake=core.wake, time=time)
    core.count_held(door)
    reports = lrs.LoadReports(known=load, time=time, interval=chosen.autoscaler_report_interval)
    serving = server.Server(chosen.listen, tracing)
    serving.add(
        pb_grpc.add_AutoscalerServiceServicer_to_server,
        servicer.AutoscalerServicer(core, known),
        "cortex.autoscaler.v1.AutoscalerService",
    )
    serving.add_generic([reports.handlers(), ext_authz.ExtAuthz(door).handlers()])
    return serving, [upstream.watch(), core.run()]


async def serve(chosen: options.Settings, tracing: telemetry.Telemetry) -> None:
    channel = channels.connect(chosen.apiserver_address, tracing)
    try:
        serving, loops = assemble(chosen, channel, tracing, clock.SystemClock())
        # What is open is watches, load reports and held requests: none of them ends by being waited for.
        await server.run(serving, loops, grace=0.5)
    finally:
        await channel.close()


def main() -> None:
    chosen = settings.load_or_exit(options.Settings, os.environ, "autoscaler")
    telemetry.set_up_logs("autoscaler", chosen.log_level)
    tracing = telemetry.set_up_tracing("cortex-autoscaler", chosen.listen, os.environ)
    try:
        asyncio.run(serve(chosen, tracing))
    finally:
        tracing.shutdown()


if __name__ == "__main__":
    main()
