"""The SDK: everything the command line does, as typed synchronous calls. Errors are those of `exceptions`.

What only a deploy needs (YAML, zip) and what only a prediction needs is imported there: `cortex get` is in a hurry.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cortex.apiserver.v1 import api_service_pb2, api_service_pb2_grpc, event_service_pb2, event_service_pb2_grpc
from cortex_client import environments, exceptions, names, observing, streams, tracing
from cortex_client.deployment import Deployment
from cortex_client.transport import Pending, Transport

if TYPE_CHECKING:
    from cortex.apiserver.v1 import api_pb2, event_pb2, gateway_pb2, revision_pb2
    from cortex_client import deploying, prediction, upload
    from cortex_client.project import loader

_FOLLOW_GIVES_UP_AFTER = 300.0
_FIRST_WITHIN = 1.0
_PAGE = 1000

Source = str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""A path of a cortex.yaml (or its folder), one API as a mapping, or several."""


class Client:
    """`Client()` talks to the user's default environment, `Client("prod")` to a named one, and
    `Client(address="host:port")` to a gateway's control listener. Close it, or use it in `with`."""

    def __init__(
        self,
        environment: str | None = None,
        address: str | None = None,
        *,
        namespace: str | None = None,
        timeout: float = 30.0,
        on_break: streams.OnBreak | None = None,
    ) -> None:
        """`on_break` is told when a tail or a watch loses its connection and goes on trying."""
        found = (
            environments.Environment(environment or "(address)", address)
            if address
            else environments.resolve(os.environ, environment)
        )
        self.environment = found
        self.namespace = namespace or found.namespace
        self.transport = Transport(found)
        self.timeout = timeout
        self._on_break = on_break
        self.apis = api_service_pb2_grpc.ApiServiceStub(self.transport.channel)
        self._events = event_service_pb2_grpc.EventServiceStub(self.transport.channel)
        self._kept_predictor: prediction.Predictor | None = None
        self._urls: dict[str, str] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._kept_predictor is not None:
            self._kept_predictor.close()
        self.transport.close()

    @property
    def _predictor(self) -> prediction.Predictor:
        if self._kept_predictor is None:
            from cortex_client import prediction

            self._kept_predictor = prediction.Predictor()
        return self._kept_predictor

    def name(self, api: str) -> str:
        """The resource name of an API given by id or by resource name."""
        return api if "/" in api else names.api(self.namespace, api)

    def _call(self, method: Any, request: Any) -> Any:
        return self.transport.call(method, request, self.timeout)

    def start(self, method: Any, request: Any, timeout: float | None = None) -> Pending:
        """A call under way, for those who make several at once."""
        return self.transport.start(method, request, timeout or self.timeout)

    # Writes. Each returns at once; wait() on what it returns.

    def deploy(
        self, source: Source, *, project: str | os.PathLike[str] | None = None, progress: upload.Progress | None = None
    ) -> Deployment:
        """Deploys the one API of `source`; `project` is the folder of a mapping's files (default: here)."""
        found = self.deploy_all(source, project=project, progress=progress)
        if len(found) != 1:
            raise exceptions.Invalid(f"{len(found)} APIs were deployed", hint="use deploy_all for a file of several")
        return found[0]

    def deploy_all(
        self, source: Source, *, project: str | os.PathLike[str] | None = None, progress: upload.Progress | None = None
    ) -> list[Deployment]:
        """Deploys every API of `source`."""
        from cortex_client import deploying, upload

        with deploying.prepare(source, _folder(project)) as prepared, tracing.together():
            upload.ensure(self.transport, self.namespace, prepared.bundle, progress=progress)
            return [self.apply(loaded, prepared) for loaded in prepared.apis]

    def apply(self, loaded: loader.LoadedApi, prepared: deploying.Prepared) -> Deployment:
        """The last step of a deploy, once the bundle is there."""
        request = api_service_pb2.UpdateApiRequest(
            api=prepared.message(loaded, self.namespace), allow_missing=True, request_id=uuid.uuid4().hex
        )
        try:
            return Deployment(self.transport, self._call(self.apis.UpdateApi, request))
        except exceptions.CortexError as error:
            raise loaded.explain(error) from None

    def plan(
        self, source: Source, *, project: str | os.PathLike[str] | None = None
    ) -> list[api_service_pb2.PlanApiResponse]:
        """What deploy would do, per API; changes nothing. Files are uploaded where the server has to see them."""
        from cortex_client import deploying

        with deploying.prepare(source, _folder(project)) as prepared, tracing.together():
            return [self.plan_one(loaded, prepared) for loaded in prepared.apis]

    def plan_one(self, loaded: loader.LoadedApi, prepared: deploying.Prepared) -> api_service_pb2.PlanApiResponse:
        request = api_service_pb2.PlanApiRequest(api=prepared.message(loaded, self.namespace))
        try:
            return self._plan(request)
        except exceptions.CortexError as error:
            if error.reason != "BUNDLE_MISSING":
                raise loaded.explain(error) from None
        from cortex_client import upload

        upload.ensure(self.transport, self.namespace, prepared.bundle)
        try:
            return self._plan(request)
        except exceptions.CortexError as error:
            raise loaded.explain(error) from None

    def _plan(self, request: api_service_pb2.PlanApiRequest) -> api_service_pb2.PlanApiResponse:
        answer: api_service_pb2.PlanApiResponse = self._call(self.apis.PlanApi, request)
        return answer

    def delete(self, api: str, *, etag: str = "") -> Deployment:
        """`wait_deleted()` on the result waits until the last replica is gone."""
        request = api_service_pb2.DeleteApiRequest(name=self.name(api), etag=etag)
        self._urls.pop(self.name(api), None)
        return Deployment(self.transport, self._call(self.apis.DeleteApi, request))

    def rollback(self, api: str, revision: str = "") -> Deployment:
        """To `revision` (id), by default to the one that served before."""
        request = api_service_pb2.RollbackApiRequest(
            name=self.name(api), revision_id=revision, request_id=uuid.uuid4().hex
        )
        return Deployment(self.transport, self._call(self.apis.RollbackApi, request))

    def refresh(self, api: str) -> Deployment:
        """New replicas of the same content."""
        request = api_service_pb2.RefreshApiRequest(name=self.name(api), request_id=uuid.uuid4().hex)
        return Deployment(self.transport, self._call(self.apis.RefreshApi, request))

    def scale(
        self, api: str, *, minimum: int | None = None, maximum: int | None = None, replicas: int | None = None
    ) -> Deployment:
        """Changes the bounds, or asks for a number of replicas within them."""
        request = api_service_pb2.ScaleApiRequest(
            name=self.name(api), min_replicas=minimum, max_replicas=maximum, desired_replicas=replicas, actor="user"
        )
        return Deployment(self.transport, self._call(self.apis.ScaleApi, request))

    # Reads.

    def get(self, api: str) -> api_pb2.Api:
        found: api_pb2.Api = self._call(self.apis.GetApi, api_service_pb2.GetApiRequest(name=self.name(api)))
        return found

    def list_apis(self, *, all_namespaces: bool = False) -> list[api_pb2.Api]:
        """The APIs by name."""
        parent = self.parent(all_namespaces)
        return self._pages(
            lambda token: self._call(
                self.apis.ListApis, api_service_pb2.ListApisRequest(parent=parent, page_size=_PAGE, page_token=token)
            ),
            "apis",
        )

    def parent(self, all_namespaces: bool = False) -> str:
        return names.namespace("-" if all_namespaces else self.namespace)

    def history(self, api: str) -> list[revision_pb2.Revision]:
        """The revisions, newest first."""
        parent = self.name(api)
        return self._pages(
            lambda token: self._call(
                self.apis.ListRevisions,
                api_service_pb2.ListRevisionsRequest(parent=parent, page_size=_PAGE, page_token=token),
            ),
            "revisions",
        )

    def watch(self, api: str = "", *, all_namespaces: bool = False) -> Iterator[api_service_pb2.WatchApisResponse]:
        """The state of APIs and every change of it; a stream that breaks is opened again and tells the whole anew."""
        request = api_service_pb2.WatchApisRequest(
            parent=self.parent(all_namespaces), api=self.name(api) if api else ""
        )
        return self._resuming(lambda: self.transport.stream(self.apis.WatchApis, request, None))

    def _resuming(self, start: Callable[[], Iterator[Any]], again_at_end: bool = True) -> Iterator[Any]:
        return streams.resuming(
            start,
            give_up_after=_FOLLOW_GIVES_UP_AFTER,
            first_within=_FIRST_WITHIN,
            again_at_end=again_at_end,
            on_break=self._on_break,
        )

    def events(self, api: str = "", *, limit: int = 100) -> list[event_pb2.Event]:
        """What happened lately, newest first."""
        found: list[event_pb2.Event] = []
        token = ""
        while len(found) < limit:
            answer = self.events_call(api, limit - len(found), page_token=token).result()
            found.extend(answer.events)
            token = answer.next_page_token
            if not token:
                break
        return found

    def events_call(self, api: str, limit: int, timeout: float | None = None, *, page_token: str = "") -> Pending:
        request = event_service_pb2.ListEventsRequest(
            parent=self.parent(),
            api=self.name(api) if api else "",
            page_size=min(limit, _PAGE),
            page_token=page_token,
        )
        return self.start(self._events.ListEvents, request, timeout)

    def follow_events(self, api: str = "", *, after: str = "") -> Iterator[event_pb2.Event]:
        """Events as they happen, resumed after breaks without loss."""
        seen = after

        def start() -> Iterator[event_service_pb2.WatchEventsResponse]:
            request = event_service_pb2.WatchEventsRequest(
                parent=self.parent(), api=self.name(api) if api else "", after=seen
            )
            return self.transport.stream(self._events.WatchEvents, request, None)

        for message in self._resuming(start):
            if message.HasField("event"):
                seen = message.event.name
                yield message.event

    def gateways(self) -> list[gateway_pb2.Gateway]:
        from cortex.apiserver.v1 import gateway_service_pb2, gateway_service_pb2_grpc

        stub = gateway_service_pb2_grpc.GatewayServiceStub(self.transport.channel)
        return list(self._call(stub.ListGateways, gateway_service_pb2.ListGatewaysRequest()).gateways)

    def _pages(self, fetch: Callable[[str], Any], field: str) -> list[Any]:
        found: list[Any] = []
        token = ""
        while True:
            answer = fetch(token)
            found.extend(getattr(answer, field))
            token = answer.next_page_token
            if not token:
                return found

    # What the other services know.

    def logs(
        self,
        api: str,
        *,
        follow: bool = False,
        since: datetime.datetime | datetime.timedelta | None = None,
        tail: int = 0,
        grep: str = "",
        replicas: Sequence[str] = (),
        revision: str = "",
        level: str = "",
        trace: str = "",
        on_dropped: Callable[[observing.DroppedNotice], None] | None = None,
    ) -> Iterator[observing.LogEntry]:
        """Log entries in order; after a break it goes on by token, nothing twice and nothing missed.

        `on_dropped` is told of lines that were lost at the source.
        """
        request = observing.tail_request(
            self.name(api), follow=follow, since=since, tail_lines=tail, grep=grep, replicas=replicas,
            revision_id=revision, min_level=level, trace_id=trace,
        )  # fmt: skip
        return observing.logs(self.transport, request, on_dropped, self._resuming)

    def metrics(
        self, api: str, window: datetime.timedelta | None = None, *, since: datetime.datetime | None = None
    ) -> observing.ApiMetrics:
        """Requests, latencies and predictions; default window 15 minutes. `since`, the API's create_time (UTC), leaves
        out what a removed API of the same name did."""
        call = observing.metrics(self.transport, self.name(api), window, self.timeout, since)
        return call.result()  # type: ignore[no-any-return]

    def list_metrics(
        self, window: datetime.timedelta | None = None, *, all_namespaces: bool = False
    ) -> list[observing.ApiMetrics]:
        return self._pages(
            lambda token: self.list_metrics_call(window, all_namespaces, page_token=token).result(), "metrics"
        )

    def metrics_call(self, api: str, window: datetime.timedelta | None = None, timeout: float | None = None) -> Pending:
        return observing.metrics(self.transport, self.name(api), window, timeout or self.timeout)

    def list_metrics_call(
        self,
        window: datetime.timedelta | None = None,
        all_namespaces: bool = False,
        *,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pending:
        parent = self.parent(all_namespaces)
        return observing.list_metrics(self.transport, parent, window, page_token, timeout or self.timeout)

    def decision(self, api: str) -> observing.Decision:
        """The autoscaler's newest decision and every term of it."""
        return self.decision_call(api).result()  # type: ignore[no-any-return]

    def decision_call(self, api: str, timeout: float | None = None) -> Pending:
        return observing.decision(self.transport, self.name(api), timeout or self.timeout)

    def decisions(self, api: str) -> list[observing.Decision]:
        """The decisions of the last hour, newest first."""
        return self._pages(
            lambda token: observing.decisions(self.transport, self.name(api), token, self.timeout).result(), "decisions"
        )

    # Predictions, which pass no control-plane process.

    def predict(
        self,
        api: str,
        payload: Any = None,
        *,
        data: bytes | None = None,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> prediction.Prediction:
        """POSTs `payload` as JSON, or `data` as it is. Raises PredictionFailed for an error status."""
        body = data if data is not None else json.dumps(payload).encode()
        try:
            return self._predictor.post(
                self.url(api),
                body,
                content_type=content_type,
                params=params or {},
                headers=headers or {},
                timeout=timeout,
            )
        except (exceptions.Unavailable, exceptions.PredictionFailed):
            self._urls.pop(self.name(api), None)
            raise

    def predict_grpc(self, api: str, payload: Any, *, timeout: float = 60.0) -> Any:
        """The same over gRPC: JSON in and out, or bytes in and out."""
        return self._predictor.call(self.url(api), self.name(api), payload, timeout=timeout)

    def predict_stream(self, api: str, payload: Any, *, timeout: float = 600.0) -> Iterator[Any]:
        """What the predictor yields, as it yields it."""
        return self._predictor.stream(self.url(api), self.name(api), payload, timeout=timeout)

    def url(self, api: str) -> str:
        """Where callers find an API; looked up once. Raises Unavailable while no gateway is known."""
        name = self.name(api)
        if name not in self._urls:
            url = self.get(api).status.url
            if not url:
                raise exceptions.Unavailable(f"{api} has no URL: no gateway is connected", hint="see `cortex status`")
            self._urls[name] = url
        return self._urls[name]


def _folder(project: str | os.PathLike[str] | None) -> pathlib.Path | None:
    return None if project is None else pathlib.Path(project)
