"""A change on its way: what `deploy`, `rollback` and `refresh` return."""

import time
from collections.abc import Callable, Iterator

from cortex.apiserver.v1 import api_pb2, api_service_pb2, api_service_pb2_grpc
from cortex_client import exceptions, names, rollouts, streams
from cortex_client.transport import Transport

_GIVE_UP_AFTER = 30.0

OnChange = Callable[[api_pb2.Api], None]


class Deployment:
    """`api` is the API as last seen. Nothing has to be kept: the platform goes on when the handle is dropped."""

    def __init__(self, transport: Transport, api: api_pb2.Api) -> None:
        self._transport = transport
        self.api = api
        self.generation = api.generation
        self.revision = api.status.target_revision
        self._seen = False

    @property
    def name(self) -> str:
        return names.last(self.api.name)

    @property
    def url(self) -> str:
        return self.api.status.url

    def wait(self, timeout: float = 600.0, on_change: OnChange | None = None) -> api_pb2.Api:
        """Returns once the gateway routes to the new revision. Raises RolloutFailed, Conflict or DeadlineExceeded."""
        return self._wait(self._verdict, timeout, on_change)

    def wait_scaled(self, timeout: float = 600.0, on_change: OnChange | None = None) -> api_pb2.Api:
        """Returns once as many replicas are ready as are wanted."""
        return self._wait(lambda api: rollouts.scaled(api, self.generation), timeout, on_change)

    def wait_deleted(self, timeout: float = 600.0) -> None:
        uid = self.api.uid
        for message in self._watch(time.monotonic() + timeout):
            again = message.type == api_service_pb2.WATCH_EVENT_TYPE_UPDATED and message.api.uid != uid
            if again or message.type == api_service_pb2.WATCH_EVENT_TYPE_DELETED or self._gone(message):
                return

    def _gone(self, message: api_service_pb2.WatchApisResponse) -> bool:
        """A watch that is in step and never showed the API: it went before the watch began."""
        return message.type == api_service_pb2.WATCH_EVENT_TYPE_SYNCED and not self._seen

    def _wait(self, finished: Callable[[api_pb2.Api], bool], timeout: float, on_change: OnChange | None) -> api_pb2.Api:
        for message in self._watch(time.monotonic() + timeout):
            if message.type == api_service_pb2.WATCH_EVENT_TYPE_DELETED or self._gone(message):
                raise exceptions.NotFound(f"{self.name} was deleted meanwhile")
            if message.type != api_service_pb2.WATCH_EVENT_TYPE_UPDATED:
                continue
            self.api = message.api
            if on_change is not None:
                on_change(message.api)
            if finished(message.api):
                return message.api
        raise AssertionError("a watch is opened again until its deadline")

    def _verdict(self, api: api_pb2.Api) -> bool:
        verdict = rollouts.judge(api, self.generation, self.revision)
        if verdict is rollouts.Verdict.FAILED:
            raise self._failed(api)
        if verdict is rollouts.Verdict.SUPERSEDED:
            raise exceptions.Conflict(
                f"another change of {self.name} took the place of {names.last(self.revision)}",
                hint=f"see `cortex history {self.name}`",
            )
        return verdict is rollouts.Verdict.DONE

    def _failed(self, api: api_pb2.Api) -> exceptions.RolloutFailed:
        rollout = api.status.rollout
        serving = api.status.serving_revision
        return exceptions.RolloutFailed(
            rollout.message or "the new revision never became ready",
            reason=rollouts.reason(rollout.reason),
            api=self.name,
            revision=names.last(rollout.to_revision),
            serving_revision="" if serving == rollout.to_revision else names.last(serving),
        )

    def _watch(self, deadline: float) -> Iterator[api_service_pb2.WatchApisResponse]:
        stub = api_service_pb2_grpc.ApiServiceStub(self._transport.channel)
        parent = names.namespace(names.namespace_of(self.api.name))
        request = api_service_pb2.WatchApisRequest(parent=parent, api=self.api.name)

        def start() -> Iterator[api_service_pb2.WatchApisResponse]:
            self._seen = False
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise self._late()
            return self._transport.stream(stub.WatchApis, request, remaining)

        try:
            for message in streams.resuming(start, give_up_after=_GIVE_UP_AFTER, again_at_end=True):
                self._seen = self._seen or message.type == api_service_pb2.WATCH_EVENT_TYPE_UPDATED
                yield message
        except exceptions.DeadlineExceeded:
            raise self._late() from None

    def _late(self) -> exceptions.DeadlineExceeded:
        ready = rollouts.condition(self.api, "Ready")
        why = (
            f": {rollouts.reason(ready.reason)} {ready.message}".rstrip() if ready is not None and ready.reason else ""
        )
        return exceptions.DeadlineExceeded(
            f"{self.name} was not there in time{why}",
            hint=f"it goes on; follow it with `cortex get {self.name} -w` or `cortex describe {self.name}`",
        )
