"""A control plane in one process for client tests: the contracts over real gRPC, with states and faults by command.

A rollout is a script: its states are played to the next watcher, one message each, so tests never wait for time.
"""

import json
import pathlib
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from cortex.apiserver.v1 import (
    api_pb2,
    api_service_pb2_grpc,
    bundle_service_pb2_grpc,
    event_pb2,
    event_service_pb2_grpc,
    gateway_service_pb2_grpc,
)
from cortex.autoscaler.v1 import autoscaler_service_pb2, autoscaler_service_pb2_grpc
from cortex.logstream.v1 import logstream_service_pb2, logstream_service_pb2_grpc
from cortex.monitor.v1 import monitor_service_pb2, monitor_service_pb2_grpc
from cortex.runtime.v1 import prediction_service_pb2_grpc
from cortex.type.v1 import condition_pb2
from tests.fakes import control_plane_services as services

Script = Callable[[api_pb2.Api], list[api_pb2.Api]]


class ControlPlane:
    """Start in `with`; `address` is what an environment names. Every field may be set by a test."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.apis: dict[str, api_pb2.Api] = {}
        self.deleted: list[api_pb2.Api] = []
        self.bundles: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.events: list[event_pb2.Event] = []
        self.logs: list[logstream_service_pb2.LogEntry] = []
        self.metrics: dict[str, monitor_service_pb2.ApiMetrics] = {}
        self.decisions: dict[str, autoscaler_service_pb2.Decision] = {}
        self.calls: list[tuple[str, Any]] = []
        self.metadata: list[dict[str, str]] = []
        self.faults: dict[str, list[status_pb2.Status]] = defaultdict(list)
        self.script: Script = succeed
        self.pending: dict[str, list[api_pb2.Api]] = {}
        self.data_url = "http://127.0.0.1:1"
        self.break_upload_at: int | None = None
        self.break_logs_after: int | None = None
        self.address = ""
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))

    def __enter__(self) -> "ControlPlane":
        register: tuple[tuple[Any, Any], ...] = (
            (api_service_pb2_grpc.add_ApiServiceServicer_to_server, services.Apis(self)),
            (bundle_service_pb2_grpc.add_BundleServiceServicer_to_server, services.Bundles(self)),
            (event_service_pb2_grpc.add_EventServiceServicer_to_server, services.Events(self)),
            (gateway_service_pb2_grpc.add_GatewayServiceServicer_to_server, services.Gateways()),
            (autoscaler_service_pb2_grpc.add_AutoscalerServiceServicer_to_server, services.Autoscaler(self)),
            (logstream_service_pb2_grpc.add_LogstreamServiceServicer_to_server, services.Logstream(self)),
            (monitor_service_pb2_grpc.add_MonitorServiceServicer_to_server, services.Monitor(self)),
            (prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server, services.Predictions(self)),
        )
        for add, servicer in register:
            add(servicer, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.address = f"127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=0).wait(timeout=5)

    def write_cluster_file(self, home: pathlib.Path) -> None:
        """What `cortex up` leaves behind for clients."""
        home.mkdir(parents=True, exist_ok=True)
        (home / "cluster.json").write_text(json.dumps({"control_address": self.address}))

    def called(self, name: str) -> list[Any]:
        """The requests of one method so far."""
        return [request for called, request in self.calls if called == name]

    def fail(self, method: str, code: grpc.StatusCode, message: str = "no", **details: Any) -> None:
        """The next call of `method` fails so; `details` as in `status_of`."""
        self.faults[method].append(status_of(code, message, **details))

    def enter(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        """Every call passes here: recorded, and failed when a test asked for it."""
        self.calls.append((method, request))
        self.metadata.append({k: v for k, v in context.invocation_metadata() if isinstance(v, str)})
        if self.faults[method]:
            context.abort_with_status(rpc_status.to_status(self.faults[method].pop(0)))

    def put(self, api: api_pb2.Api) -> None:
        with self.lock:
            self.apis[api.name] = api
            self.lock.notify_all()


def status_of(
    code: grpc.StatusCode, message: str, *, reason: str = "", violations: dict[str, str] | None = None, **metadata: str
) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=message)
    details: list[Any] = []
    if reason:
        name = f"ERROR_REASON_{reason}"
        details.append(error_details_pb2.ErrorInfo(reason=name, domain="cortex.dev", metadata=metadata))
    if violations:
        bad = error_details_pb2.BadRequest()
        for field, text in violations.items():
            bad.field_violations.add(field=field, description=text)
        details.append(bad)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def condition(kind: str, holds: bool, reason: Any = 0, message: str = "") -> condition_pb2.Condition:
    truth = condition_pb2.CONDITION_STATUS_TRUE if holds else condition_pb2.CONDITION_STATUS_FALSE
    return condition_pb2.Condition(type=kind, status=truth, reason=reason, message=message)


def _next(api: api_pb2.Api) -> api_pb2.Api:
    copy = api_pb2.Api()
    copy.CopyFrom(api)
    copy.status.observed_generation = api.generation
    return copy


def _replica(api: api_pb2.Api, state: Any, message: str = "") -> api_pb2.Api:
    changed = _next(api)
    del changed.status.replicas[:]
    changed.status.replicas.add(
        id="iris-r1-abcde",
        revision=api.status.target_revision,
        state=state,
        message=message,
        pid=4242,
    )
    return changed


def succeed(api: api_pb2.Api) -> list[api_pb2.Api]:
    """A rollout that goes well."""
    building = _replica(api, api_pb2.REPLICA_STATE_BUILDING_ENVIRONMENT, "installing scikit-learn")
    starting = _replica(api, api_pb2.REPLICA_STATE_STARTING, "worker 1 of 1 loading")
    ready = _replica(api, api_pb2.REPLICA_STATE_READY)
    done = _replica(api, api_pb2.REPLICA_STATE_READY)
    done.status.ready_replicas = done.status.desired_replicas
    done.status.serving_revision = api.status.target_revision
    done.status.traffic.add(revision=api.status.target_revision, percent=100)
    done.status.rollout.state = api_pb2.ROLLOUT_STATE_SUCCEEDED
    done.status.conditions.extend([condition("Ready", True), condition("RolloutComplete", True)])
    routed = _next(ready)
    routed.status.traffic.add(revision=api.status.target_revision, percent=100)
    return [building, starting, ready, routed, done]


TRACEBACK = 'Traceback (most recent call last):\n  File "predictor.py", line 3, in __init__\nValueError: no weights'


def fail_in_constructor(api: api_pb2.Api) -> list[api_pb2.Api]:
    """A rollout whose predictor raises; the revision before it goes on."""
    reason = condition_pb2.CONDITION_REASON_CONSTRUCTOR_FAILED
    failing = _replica(api, api_pb2.REPLICA_STATE_BACKING_OFF)
    failing.status.replicas[0].last_failure.reason = reason
    failing.status.replicas[0].last_failure.message = TRACEBACK
    failed = _next(failing)
    failed.status.rollout.state = api_pb2.ROLLOUT_STATE_FAILED
    failed.status.rollout.reason = reason
    failed.status.rollout.message = TRACEBACK
    failed.status.conditions.append(condition("Ready", bool(api.status.serving_revision)))
    return [failing, failed]
