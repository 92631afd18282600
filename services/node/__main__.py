"""Starts the node: settings, adapters, core, servicer. SIGTERM ends this process and no replica."""

import asyncio
import os
import pathlib
import random
import sys
import time
from collections.abc import Coroutine
from typing import Any

from cortex.node.v1 import node_service_pb2_grpc
from services.chassis import channels, clock, server, telemetry
from services.chassis import settings as loader
from services.node import (
    addresses,
    adoption,
    archive,
    bundles,
    convert,
    cpu_weights,
    environments,
    garbage,
    interpreters,
    limits,
    machine,
    neuron,
    planner,
    preparer,
    process,
    reconciler,
    records,
    replica_logs,
    servicer,
    settings,
    supervisor,
    watch,
)

_CACHE_INTERVAL, _LOG_INTERVAL = 600.0, 60.0


async def serve(chosen: settings.Settings) -> None:
    folder = chosen.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    node_id, rng = machine.identity(folder), random.Random()
    tracing = telemetry.set_up_tracing("cortex-node", node_id, os.environ)
    enforcement = limits.choose(
        chosen.memory_enforcement,
        chosen.cgroup,
        node_id,
        root=pathlib.Path("/sys/fs/cgroup"),
        own=limits.own_cgroups(),
    )
    weights = cpu_weights.choose(chosen.cgroup, node_id, root=pathlib.Path("/sys/fs/cgroup"), own=limits.own_cgroups())
    channel = channels.connect(chosen.apiserver_address, tracing)
    files = bundles.Store(folder / "bundles", bundles.ApiserverBundles(channel), archive.Limits())
    venvs = environments.Environments(folder / "envs", os.environ, timeout=chosen.build_timeout)
    known = records.Records(folder / "replicas")
    tools = reconciler.Tools(
        preparer=preparer.Preparer(files, venvs),
        processes=process.Processes(
            chosen, folders=known, enforcement=enforcement, weights=weights, environ=os.environ
        ),
        records=known,
        addresses=addresses.Addresses(chosen.replica_first_port, chosen.replica_last_port, rng),
        cores=neuron.Cores(chosen.neuron_devices or neuron.count(pathlib.Path("/dev")), chosen.neuron_cores_per_device),
        clock=clock.SystemClock(),
        rng=rng,
        policy=planner.Policy(),
    )
    hub = watch.Hub()
    replicas = supervisor.Supervisor(tools, hub)
    replicas.resume(adoption.adopt(known.load(), known.folder, adoption.running_replicas(folder / "replicas")))

    description = convert.node(
        node_id,
        cpus=machine.cpus(),
        memory_bytes=machine.memory_bytes(),
        enforcement=limits.describe(enforcement),
        weights=cpu_weights.describe(weights),
        versions=interpreters.versions(os.environ.get("PATH", "")),
        started=time.time(),
    )
    doors = server.Server(chosen.listen, tracing)
    doors.add(
        node_service_pb2_grpc.add_NodeServiceServicer_to_server,
        servicer.NodeServicer(description, replicas, hub),
        "cortex.node.v1.NodeService",
    )
    try:
        await server.run(doors, _collecting(chosen, replicas), grace=0.5)
    finally:
        await replicas.close()
        weights.sweep()
        await channel.close()
        tracing.shutdown()


def _collecting(chosen: settings.Settings, replicas: supervisor.Supervisor) -> list[Coroutine[Any, Any, None]]:
    """What removes files that no replica needs any more."""
    folders = [chosen.folder / "envs", chosen.folder / "bundles"]
    collector = garbage.Collector(folders, most=chosen.cache_bytes, now=time.time)

    def in_use() -> frozenset[str]:
        held = replicas.records()
        return frozenset([r.environment for r in held] + [r.wish.bundle.rpartition("/")[2] for r in held])

    def held() -> frozenset[str]:
        return frozenset(record.wish.replica for record in replicas.records())

    def collect_logs(replicas_held: frozenset[str]) -> None:
        replica_logs.collect(chosen.replica_logs, replicas_held, time.time())

    return [
        garbage.keep_collecting(_CACHE_INTERVAL, in_use, collector.collect),
        garbage.keep_collecting(_LOG_INTERVAL, held, collect_logs),
    ]


def main() -> None:
    chosen = loader.load_or_exit(settings.Settings, os.environ, "node")
    telemetry.set_up_logs("node", chosen.log_level)
    try:
        asyncio.run(serve(chosen))
    except loader.SettingsError as error:
        sys.exit(f"node: {error}")


if __name__ == "__main__":
    main()
