"""The servicers of the fake control plane: each records its call and answers from the plain state in `ControlPlane`."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from cortex.apiserver.v1 import (
    api_pb2,
    api_service_pb2,
    api_service_pb2_grpc,
    bundle_pb2,
    bundle_service_pb2,
    bundle_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    gateway_pb2,
    gateway_service_pb2,
    gateway_service_pb2_grpc,
    revision_pb2,
)
from cortex.autoscaler.v1 import autoscaler_service_pb2, autoscaler_service_pb2_grpc
from cortex.logstream.v1 import logstream_service_pb2, logstream_service_pb2_grpc
from cortex.monitor.v1 import monitor_service_pb2, monitor_service_pb2_grpc
from cortex.runtime.v1 import prediction_service_pb2, prediction_service_pb2_grpc

if TYPE_CHECKING:
    from tests.fakes.control_plane import ControlPlane

_HEARTBEAT = 0.05


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str, **details: Any) -> None:
    from grpc_status import rpc_status

    from tests.fakes import control_plane

    context.abort_with_status(rpc_status.to_status(control_plane.status_of(code, message, **details)))


class Apis(api_service_pb2_grpc.ApiServiceServicer):
    def __init__(self, plane: "ControlPlane") -> None:
        self._plane = plane

    def _find(self, name: str, context: grpc.ServicerContext) -> api_pb2.Api:
        if name not in self._plane.apis:
            _abort(context, grpc.StatusCode.NOT_FOUND, f"there is no API {name!r}", reason="NOT_FOUND")
        return self._plane.apis[name]

    def GetApi(self, request: Any, context: Any) -> Any:
        self._plane.enter("GetApi", request, context)
        return self._find(request.name, context)

    def ListApis(self, request: Any, context: Any) -> Any:
        """Pages of one, so that clients have to page."""
        self._plane.enter("ListApis", request, context)
        inside = [
            a
            for n, a in sorted(self._plane.apis.items())
            if request.parent.endswith("/-") or n.startswith(request.parent + "/")
        ]
        start = int(request.page_token or 0)
        token = str(start + 1) if start + 1 < len(inside) else ""
        return api_service_pb2.ListApisResponse(apis=inside[start : start + 1], next_page_token=token)

    def UpdateApi(self, request: Any, context: Any) -> Any:
        self._plane.enter("UpdateApi", request, context)
        scaling = request.api.spec.autoscaling
        if scaling.min_replicas > (scaling.max_replicas or 100):
            _abort(
                context, grpc.StatusCode.INVALID_ARGUMENT, "the spec is invalid", reason="INVALID_FIELD",
                violations={"autoscaling.min_replicas": "must not be above max_replicas"},
            )  # fmt: skip
        if request.api.spec.bundle_digest.removeprefix("sha256:") not in self._plane.bundles:
            _abort(context, grpc.StatusCode.FAILED_PRECONDITION, "no such bundle", reason="BUNDLE_MISSING")
        return self._change(request.api.name, request.api.spec)

    def _change(self, name: str, spec: Any = None, revision: str = "") -> api_pb2.Api:
        before = self._plane.apis.get(name)
        api = api_pb2.Api(name=name, uid="uid-1")
        if before is not None:
            api.CopyFrom(before)
        if spec is not None:
            api.spec.CopyFrom(spec)
        api.generation += 1
        api.status.target_revision = f"{name}/revisions/{revision or f'r{api.generation}-0a1b2c3d'}"
        api.status.url = f"{self._plane.data_url}/{name.rpartition('/')[2]}"
        api.status.desired_replicas = api.status.desired_replicas or 1
        del api.status.conditions[:]
        api.status.rollout.Clear()
        api.status.rollout.state = api_pb2.ROLLOUT_STATE_IN_PROGRESS
        api.status.rollout.to_revision = api.status.target_revision
        api.status.rollout.from_revision = api.status.serving_revision
        api.update_time.GetCurrentTime()
        self._plane.pending[name] = self._plane.script(api)
        self._plane.put(api)
        return api

    def PlanApi(self, request: Any, context: Any) -> Any:
        self._plane.enter("PlanApi", request, context)
        if request.api.spec.bundle_digest.removeprefix("sha256:") not in self._plane.bundles:
            _abort(context, grpc.StatusCode.FAILED_PRECONDITION, "no such bundle", reason="BUNDLE_MISSING")
        creates = request.api.name not in self._plane.apis
        changes = [
            api_service_pb2.FieldChange(path="predictor.config.threshold", before="0.5", after="0.7"),
            api_service_pb2.FieldChange(path="predictor.env.TOKEN", before="", after='"hunter2"'),
        ]
        return api_service_pb2.PlanApiResponse(
            api=request.api, creates=creates, revision_id="r7-deadbeef", changes=changes, actions=["start 1 replica"]
        )

    def DeleteApi(self, request: Any, context: Any) -> Any:
        self._plane.enter("DeleteApi", request, context)
        api = self._find(request.name, context)
        with self._plane.lock:
            del self._plane.apis[request.name]
            self._plane.lock.notify_all()
        return api

    def RollbackApi(self, request: Any, context: Any) -> Any:
        self._plane.enter("RollbackApi", request, context)
        self._find(request.name, context)
        return self._change(request.name, revision=request.revision_id or "r1-0a1b2c3d")

    def RefreshApi(self, request: Any, context: Any) -> Any:
        self._plane.enter("RefreshApi", request, context)
        self._find(request.name, context)
        return self._change(request.name)

    def ScaleApi(self, request: Any, context: Any) -> Any:
        self._plane.enter("ScaleApi", request, context)
        api = self._find(request.name, context)
        if request.HasField("desired_replicas"):
            api.status.desired_replicas = api.status.ready_replicas = request.desired_replicas
        api.status.observed_generation = api.generation
        return api

    def CreateApi(self, request: Any, context: Any) -> Any:
        self._plane.enter("CreateApi", request, context)
        return self._change(f"{request.parent}/apis/{request.api_id}", request.api.spec)

    def GetRevision(self, request: Any, context: Any) -> Any:
        self._plane.enter("GetRevision", request, context)
        return revision_pb2.Revision(name=request.name)

    def ListRevisions(self, request: Any, context: Any) -> Any:
        self._plane.enter("ListRevisions", request, context)
        api = self._find(request.parent, context)
        serving = revision_pb2.REVISION_STATE_SERVING
        found = revision_pb2.Revision(name=api.status.target_revision, number=1, state=serving)
        return api_service_pb2.ListRevisionsResponse(revisions=[found])

    def WatchApis(self, request: Any, context: Any) -> Iterator[Any]:
        self._plane.enter("WatchApis", request, context)
        updated = api_service_pb2.WATCH_EVENT_TYPE_UPDATED

        def wanted() -> dict[str, api_pb2.Api]:
            return {n: a for n, a in self._plane.apis.items() if not request.api or n == request.api}

        known = wanted()
        for api in known.values():
            yield api_service_pb2.WatchApisResponse(api=api, type=updated)
        yield api_service_pb2.WatchApisResponse(type=api_service_pb2.WATCH_EVENT_TYPE_SYNCED)
        for name in list(known):
            for api in self._plane.pending.pop(name, []):
                self._plane.apis[name] = known[name] = api
                yield api_service_pb2.WatchApisResponse(api=api, type=updated)
        while context.is_active():
            with self._plane.lock:
                self._plane.lock.wait(timeout=_HEARTBEAT)
                now = wanted()
            for name, api in now.items():
                if known.get(name) != api:
                    yield api_service_pb2.WatchApisResponse(api=api, type=updated)
            for name in known.keys() - now.keys():
                gone = api_pb2.Api(name=name, uid=known[name].uid)
                yield api_service_pb2.WatchApisResponse(api=gone, type=api_service_pb2.WATCH_EVENT_TYPE_DELETED)
            known = now


class Bundles(bundle_service_pb2_grpc.BundleServiceServicer):
    def __init__(self, plane: "ControlPlane") -> None:
        self._plane = plane

    def GetBundle(self, request: Any, context: Any) -> Any:
        self._plane.enter("GetBundle", request, context)
        if request.name.rpartition("/")[2] not in self._plane.bundles:
            _abort(context, grpc.StatusCode.NOT_FOUND, "no such bundle", reason="NOT_FOUND")
        return bundle_pb2.Bundle(name=request.name)

    def CreateBundle(self, request: Any, context: Any) -> Any:
        self._plane.enter("CreateBundle", request, context)
        identity = hashlib.sha256(request.archive.data).hexdigest()
        self._plane.bundles[identity] = request.archive.data
        return bundle_pb2.Bundle(name=f"{request.parent}/bundles/{identity}", digest=f"sha256:{identity}")

    def DownloadBundle(self, request: Any, context: Any) -> Iterator[Any]:
        self._plane.enter("DownloadBundle", request, context)
        data = self._plane.bundles[request.name.rpartition("/")[2]]
        yield bundle_service_pb2.DownloadBundleResponse(size_bytes=len(data), data=data)

    def GetUpload(self, request: Any, context: Any) -> Any:
        self._plane.enter("GetUpload", request, context)
        held = len(self._plane.uploads.get(request.name.rpartition("/")[2], b""))
        return bundle_service_pb2.Upload(name=request.name, committed_bytes=held)

    def UploadBundle(self, request_iterator: Any, context: Any) -> Any:
        self._plane.enter("UploadBundle", None, context)
        identity, size, held = "", 0, bytearray()
        for message in request_iterator:
            if message.name and not identity:
                identity, size = message.name.rpartition("/")[2], message.size_bytes
                held = self._plane.uploads.setdefault(identity, bytearray())
            if message.offset != len(held):
                _abort(context, grpc.StatusCode.FAILED_PRECONDITION, "offset", reason="UPLOAD_OFFSET_MISMATCH")
            held += message.data
            limit = self._plane.break_upload_at
            if limit is not None and len(held) >= limit:
                self._plane.break_upload_at = None
                context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        if len(held) != size or hashlib.sha256(held).hexdigest() != identity:
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "digest", reason="BUNDLE_CORRUPT")
        self._plane.bundles[identity] = bytes(held)
        return bundle_pb2.Bundle(digest=f"sha256:{identity}")


class Events(event_service_pb2_grpc.EventServiceServicer):
    def __init__(self, plane: "ControlPlane") -> None:
        self._plane = plane

    def ListEvents(self, request: Any, context: Any) -> Any:
        self._plane.enter("ListEvents", request, context)
        first = int(request.page_token or 0)
        last = first + min(request.page_size, 1000)
        found = self._plane.events[::-1]
        more = str(last) if last < len(found) else ""
        return event_service_pb2.ListEventsResponse(events=found[first:last], next_page_token=more)

    def WatchEvents(self, request: Any, context: Any) -> Iterator[Any]:
        """One event per stream, then a break: a client has to resume by name to get on."""
        self._plane.enter("WatchEvents", request, context)
        names = [event.name for event in self._plane.events]
        start = names.index(request.after) + 1 if request.after in names else 0
        for event in self._plane.events[start : start + 1]:
            yield event_service_pb2.WatchEventsResponse(event=event)
        context.abort(grpc.StatusCode.UNAVAILABLE, "the stream broke")


class Gateways(gateway_service_pb2_grpc.GatewayServiceServicer):
    def ListGateways(self, request: Any, context: Any) -> Any:
        gateway = gateway_pb2.Gateway(name="gateways/envoy", connected=True)
        return gateway_service_pb2.ListGatewaysResponse(gateways=[gateway])


class Autoscaler(autoscaler_service_pb2_grpc.AutoscalerServiceServicer):
    def __init__(self, plane: "ControlPlane") -> None:
        self._plane = plane

    def GetDecision(self, request: Any, context: Any) -> Any:
        self._plane.enter("GetDecision", request, context)
        if request.name not in self._plane.decisions:
            _abort(context, grpc.StatusCode.NOT_FOUND, "no decision yet", reason="NOT_FOUND")
        return self._plane.decisions[request.name]

    def ListDecisions(self, request: Any, context: Any) -> Any:
        self._plane.enter("ListDecisions", request, context)
        return autoscaler_service_pb2.ListDecisionsResponse(decisions=list(self._plane.decisions.values()))


class Logstream(logstream_service_pb2_grpc.LogstreamServiceServicer):
    def __init__(self, plane: "ControlPlane") -> None:
        self._plane = plane

    def TailLogs(self, request: Any, context: Any) -> Iterator[Any]:
        self._plane.enter("TailLogs", request, context)
        start = int(request.resume_token or 0)
        for number, entry in enumerate(self._plane.logs[start:], start=start + 1):
            yield logstream_service_pb2.TailLogsResponse(entries=[entry], resume_token=str(number))
            if self._plane.break_logs_after == number:
                self._plane.break_logs_after = None
                context.abort(grpc.StatusCode.UNAVAILABLE, "the stream broke")
        dropped = logstream_service_pb2.DroppedNotice(lines=3, replica="iris-r1-abcde", reason="the pipe was full")
        yield logstream_service_pb2.TailLogsResponse(dropped=dropped, resume_token=str(len(self._plane.logs)))


class Monitor(monitor_service_pb2_grpc.MonitorServiceServicer):
    def __init__(self, plane: "ControlPlane") -> None:
        self._plane = plane

    def ReportMetrics(self, request_iterator: Any, context: Any) -> Any:
        for request in request_iterator:
            self._plane.calls.append(("ReportMetrics", request))
        return monitor_service_pb2.ReportMetricsResponse()

    def GetApiMetrics(self, request: Any, context: Any) -> Any:
        self._plane.enter("GetApiMetrics", request, context)
        return self._plane.metrics.get(request.name, monitor_service_pb2.ApiMetrics(api=request.name))

    def ListApiMetrics(self, request: Any, context: Any) -> Any:
        self._plane.enter("ListApiMetrics", request, context)
        return monitor_service_pb2.ListApiMetricsResponse(metrics=list(self._plane.metrics.values()))


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Echoes what it got and for whom."""

    def __init__(self, plane: "ControlPlane") -> None:
        self._plane = plane

    def Predict(self, request: Any, context: Any) -> Any:
        self._plane.enter("Predict", request, context)
        if request.WhichOneof("payload") == "body":
            return prediction_service_pb2.PredictResponse(body=request.body)
        return prediction_service_pb2.PredictResponse(json=request.json)

    def PredictStream(self, request: Any, context: Any) -> Iterator[Any]:
        self._plane.enter("PredictStream", request, context)
        for item in request.json.list_value.values:
            yield prediction_service_pb2.PredictResponse(json=item)
