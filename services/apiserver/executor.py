"""Does what a plan says, in its order, and stops at the first failure: the next pass plans anew from what is true."""

import asyncio
from collections.abc import Mapping
from typing import assert_never

from services.apiserver import actions, expectations, model, planner, ports, routes

# One action's deadline. The node and the database answer in milliseconds or are ill.
ACTION_SECONDS = 10.0


class Executor:
    """Every method may be repeated: the node, the store and the gateway take the same wish twice without harm."""

    def __init__(
        self,
        *,
        store: ports.StorePort,
        backend: ports.BackendPort,
        table: routes.RouteTable,
        expected: expectations.Expectations,
    ) -> None:
        self._store = store
        self._backend = backend
        self._table = table
        self._expected = expected

    async def apply(self, api: str, plan: planner.Plan, revisions: Mapping[str, model.Revision]) -> model.Api | None:
        """Returns the record when it was written."""
        await self._resend(api, plan, revisions)
        written = None
        for action in plan.actions:
            async with asyncio.timeout(ACTION_SECONDS):
                if isinstance(action, actions.UpdateRecord):
                    written = await self._store.update_api(action.api, expected_version=action.api.version)
                else:
                    await self._one(action, revisions)
        return written

    async def _one(self, action: actions.Effect, revisions: Mapping[str, model.Revision]) -> None:
        match action:
            case actions.SetRevisionState():
                await self._store.set_revision_state(
                    action.api, action.revision, action.state, action.reason, action.message
                )
            case actions.PublishRoute():
                self._table.put(action.route)
            case actions.WithdrawRoute():
                self._table.drop(action.api)
            case actions.StartReplica():
                self._expected.start(action.api, action.revision, action.replica)
                await self._start(action.api, action.replica, revisions[action.revision])
            case actions.StopReplica():
                await self._backend.stop_replica(action.replica, action.drain_timeout)
                self._expected.stop(action.api, action.replica)
            case actions.RecordEvent():
                await self._store.add_event(action.event)
            case actions.RemoveApi():
                await self._store.delete_api(action.api, action.uid)
            case _:
                assert_never(action)

    async def _start(self, api: str, replica: str, revision: model.Revision) -> None:
        await self._backend.start_replica(replica, revision)
        self._expected.sent(api, replica)

    async def _resend(self, api: str, plan: planner.Plan, revisions: Mapping[str, model.Revision]) -> None:
        """A start that ended in doubt is repeated by the same id, so that it cannot end in two replicas."""
        stopping = {action.replica for action in plan.actions if isinstance(action, actions.StopReplica)}
        for replica in self._expected.unsent(api):
            if replica.id not in stopping and replica.revision in revisions:
                async with asyncio.timeout(ACTION_SECONDS):
                    await self._start(api, replica.id, revisions[replica.revision])
