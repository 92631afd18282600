"""The process that keeps a cluster's services alive. Its own death harms none of them; the next one adopts them.

It imports nothing heavy, so that it costs little memory and starts at once.
"""

import asyncio
import dataclasses
import logging
import random
import signal
import sys
from collections.abc import Sequence

from services.chassis import processes
from services.launcher import catalog, child, cluster, layout, logs, replicas, rotation

_log = logging.getLogger("launcher")
# The control plane goes first, so that nobody replaces the replicas; the gateway and the node go last.
_FIRST = ("autoscaler", "apiserver")
_HOUSEKEEPING = 10.0


class Supervisor:
    def __init__(
        self,
        where: layout.Layout,
        known: cluster.Cluster,
        services: Sequence[catalog.Service],
        *,
        identity: processes.Identity | None,
        rng: random.Random,
        grace: float = 5.0,
    ) -> None:
        self._where = where
        self._cluster = dataclasses.replace(known, supervisor=identity)
        self._children = [
            child.Child(
                service,
                known.processes.get(service.name),
                stopped=where.stopped / service.name,
                rng=rng,
                changed=self._save,
                grace=grace,
            )
            for service in services
        ]

    async def run(self) -> None:
        """Until SIGTERM or SIGINT, then stops the cluster as a whole."""
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        # The terminal that started us may close.
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        self._save()
        tasks = [asyncio.create_task(each.run()) for each in self._children]
        tasks.append(asyncio.create_task(self._keep_house()))
        await told.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.stop(self._drain_timeout())

    async def stop(self, drain_timeout: float) -> None:
        """Ends everything: control plane, replicas with what they are doing, gateway and the rest."""
        _log.info("stopping the cluster; replicas get %.0f s to finish", drain_timeout)
        await self._stop_some(first=True)
        await self._end_replicas(drain_timeout)
        await self._stop_some(first=False)
        # What the node could not end any more.
        hit = replicas.kill_recorded(self._where.replicas)
        if hit:
            _log.warning("killed %d processes of replicas", hit)
        replicas.forget_recorded(self._where.replicas)
        self._cluster = dataclasses.replace(self._cluster, supervisor=None)
        self._save()
        _log.info("stopped")

    async def _end_replicas(self, timeout: float) -> None:
        node = next((each for each in self._children if each.service.name == "node"), None)
        if node is None or not node.process.alive or not replicas.any_recorded(self._where.replicas):
            return
        command = [sys.executable, "-m", "services.launcher", "drain-replicas", "--timeout", str(timeout)]
        draining = await asyncio.create_subprocess_exec(*command, env=dict(node.service.environ))
        try:
            await asyncio.wait_for(draining.wait(), timeout + 10)
        except TimeoutError:
            draining.kill()

    async def _stop_some(self, *, first: bool) -> None:
        chosen = [each for each in self._children if (each.service.name in _FIRST) is first]
        await asyncio.gather(*(each.stop() for each in chosen))

    async def _keep_house(self) -> None:
        while True:
            await asyncio.to_thread(self._cap_logs)
            await asyncio.sleep(_HOUSEKEEPING)

    def _cap_logs(self) -> None:
        logs.cap([self._where.service_logs])
        rotation.rotate(self._where.gateway_logs, lambda: rotation.reopen_logs(self._cluster.addresses.admin))

    def _drain_timeout(self) -> float:
        try:
            return float(self._where.drain_timeout.read_text())
        except (OSError, ValueError):
            return 30.0

    def _save(self) -> None:
        found = {each.service.name: each.process for each in self._children}
        self._cluster = dataclasses.replace(self._cluster, processes=found)
        try:
            cluster.save(self._where.cluster, self._cluster)
        except OSError as error:
            # A full disk must not end the supervision.
            _log.error("cannot write %s: %s", self._where.cluster, error)
