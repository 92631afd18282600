"""The process that keeps a cluster's services alive. Its own death harms none of them; the next one adopts them.

It imports nothing heavy, so that it costs little memory and starts at once.
"""

import asyncio
import dataclasses
import logging
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence

from services.chassis import processes
from services.launcher import admin, catalog, child, cluster, draining, layout, logs, replicas, rotation

_log = logging.getLogger("launcher")
# The control plane goes first, so that nobody replaces the replicas; the gateway and the node go last.
_FIRST = ("autoscaler", "apiserver")
_HOUSEKEEPING = 10.0
_GATEWAY_DRAIN = 5.0


class Supervisor:
    def __init__(
        self,
        where: layout.Layout,
        known: cluster.Cluster,
        services: Sequence[catalog.Service],
        *,
        identity: processes.Identity | None,
        rng: random.Random,
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
        tasks = [asyncio.create_task(for_ever(each.service.name, each.run)) for each in self._children]
        tasks.append(asyncio.create_task(for_ever("housekeeping", self._keep_house)))
        await told.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.stop(self._drain_timeout())

    async def stop(self, drain_timeout: float) -> None:
        """Ends everything: control plane, replicas with what they are doing, gateway and the rest."""
        _log.info("stopping the cluster; replicas get %.0f s to finish", drain_timeout)
        await self._drain_gateway()
        await self._stop_some(first=True)
        await self._end_replicas(drain_timeout)
        await self._stop_some(first=False)
        admin.clear(self._cluster.addresses.admin, self._where.gateway)
        # What the node could not end any more.
        hit = replicas.kill_recorded(self._where.replicas)
        if hit:
            _log.warning("killed %d processes of replicas", hit)
        replicas.forget_recorded(self._where.replicas)
        self._cluster = dataclasses.replace(self._cluster, supervisor=None)
        self._save()
        _log.info("stopped")

    async def _drain_gateway(self) -> None:
        """While everything it routes to is there."""
        gateway = next((each for each in self._children if each.service.ready_path), None)
        if gateway is None or not gateway.process.alive:
            return
        left = await asyncio.to_thread(draining.drain, gateway.service.admin, timeout=_GATEWAY_DRAIN)
        if left:
            _log.warning("%d requests are in flight after %.0f s; the replicas may finish them", left, _GATEWAY_DRAIN)

    async def _end_replicas(self, timeout: float) -> None:
        node = next((each for each in self._children if each.service.name == "node"), None)
        if node is None or not node.process.alive or not replicas.any_recorded(self._where.replicas):
            return
        command = [sys.executable, "-P", "-m", "services.launcher", "drain-replicas", "--timeout", str(timeout)]
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


async def for_ever(name: str, work: Callable[[], Awaitable[None]], *, pause: float = 1.0) -> None:
    """A mistake of ours in one task must not leave a service unsupervised, and not in silence either."""
    while True:
        try:
            await work()
            _log.error("%s: its supervision ended by itself and begins anew", name)
        except Exception:
            _log.exception("%s: its supervision failed and begins anew", name)
        await asyncio.sleep(pause)
