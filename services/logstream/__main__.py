"""Starts logstream: the only place that reads the environment and builds clients."""

import asyncio
import os
import resource

from cortex.logstream.v1 import logstream_service_pb2, logstream_service_pb2_grpc
from services.chassis import channels, clock, server, settings, telemetry
from services.logstream import apiserver, files, servicer, tail
from services.logstream import settings as own


async def serve(config: own.Settings) -> None:
    tracing = telemetry.set_up_tracing("cortex-logstream", str(os.getpid()), os.environ)
    channel = channels.connect(config.apiserver_address, tracing)
    window_ns = config.logstream_window_ms * 1_000_000
    pool = tail.system_pool(config.logstream_threads)
    source = files.FileSource(
        config.home / "logs" / "replicas", slack_ns=window_ns, backlog_bytes=config.logstream_backlog_bytes
    )
    handler = servicer.LogstreamServicer(
        source, apiserver.ApiserverDirectory(channel), most_streams=config.logstream_most_streams,
        window_ns=window_ns, pool=pool, time_source=clock.SystemClock(),
    )  # fmt: skip
    main = server.Server(config.listen, tracing)
    name = logstream_service_pb2.DESCRIPTOR.services_by_name["LogstreamService"].full_name
    main.add(logstream_service_pb2_grpc.add_LogstreamServiceServicer_to_server, handler, name)
    try:
        # A follower never ends by itself, so there is no point in waiting long for it: it resumes by its token.
        await server.run(main, [], grace=0.5)
    finally:
        await channel.close()
        pool.shutdown(wait=False, cancel_futures=True)
        tracing.shutdown()


def main() -> None:
    config = settings.load_or_exit(own.Settings, os.environ, "logstream")
    telemetry.set_up_logs("logstream", config.log_level)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # every tail holds the files it follows
    asyncio.run(serve(config))


if __name__ == "__main__":
    main()
