"""All replicas of this machine: one reconciler each, and a hub that tells of their changes."""

import asyncio
import contextvars
from collections.abc import Iterable

import structlog

from services.node import model, reconciler, watch

_log = structlog.get_logger("supervisor")


class Supervisor:
    def __init__(self, tools: reconciler.Tools, hub: watch.Hub) -> None:
        self._tools = tools
        self._hub = hub
        self._replicas: dict[str, reconciler.Reconciler] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self, records: Iterable[model.Record]) -> None:
        """Takes on replicas that were there before this process."""
        for record in records:
            self._tools.addresses.hold(record)
            self._tools.cores.hold(record)
            self._add(record)

    async def start(self, wish: model.Wish) -> model.View:
        """Idempotent by the replica's id: a second wish for it changes nothing."""
        known = self._replicas.get(wish.replica)
        if known is not None:
            return known.view
        first, count = self._tools.cores.allocate(wish.neuron_devices)
        http, grpc = self._tools.addresses.allocate()
        record = model.Record(
            wish,
            http,
            grpc,
            create_time=self._tools.clock.now(),
            neuron_core_first=first,
            neuron_core_count=count,
        )
        added = self._add(record, run=False)
        # On disk before the answer: an accepted replica survives the node.
        await asyncio.to_thread(self._tools.records.save, record)
        self._run(added)
        self._hub.publish(watch.Change(added.view))
        return added.view

    async def stop(self, replica: str, drain_timeout: float) -> None:
        known = self._replicas.get(replica)
        if known is not None:
            await known.stop(drain_timeout)

    def views(self) -> list[model.View]:
        return [known.view for known in self._replicas.values()]

    def records(self) -> list[model.Record]:
        return [known.record for known in self._replicas.values()]

    def _add(self, record: model.Record, *, run: bool = True) -> reconciler.Reconciler:
        added = reconciler.Reconciler(record, self._tools, self._changed)
        self._replicas[record.wish.replica] = added
        if run:
            self._run(added)
        return added

    def _run(self, added: reconciler.Reconciler) -> None:
        # A context of its own: its log lines belong to no request.
        task = asyncio.create_task(added.run(), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _changed(self, changed: reconciler.Reconciler) -> None:
        if changed.removed:
            self._replicas.pop(changed.view.id, None)
        view = changed.view
        _log.info("replica", replica=view.id, state=view.state.value, message=view.message[:200])
        self._hub.publish(watch.Change(view, removed=changed.removed))

    async def close(self) -> None:
        """Ends the watching, not the replicas."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
