"""Between protobuf messages and the node's own words."""

import re

from google.protobuf import duration_pb2, json_format, timestamp_pb2

from cortex.apiserver.v1 import api_pb2, spec_pb2
from cortex.node.v1 import node_service_pb2
from cortex.runtime.v1 import replica_config_pb2
from services.chassis import errors, names
from services.node import model, settings

_ID = re.compile(r"[a-z0-9]([-a-z0-9]{0,198}[a-z0-9])?")
_BUNDLE = re.compile(r"namespaces/[a-z]([-a-z0-9]*[a-z0-9])?/bundles/[0-9a-f]{64}")
_DEFAULT_DRAIN = 60.0
# A type that this version does not know is the runtime's to refuse.
_TYPES = {number: name.removeprefix("PREDICTOR_TYPE_") for name, number in spec_pb2.PredictorType.items()}


def wish(request: node_service_pb2.StartReplicaRequest) -> model.Wish:
    """Raises InvalidArgument: ids and names become paths here, so they are looked at closely."""
    names.parse("namespaces/{namespace}/apis/{api}/revisions/{revision}", request.revision)
    parts = request.revision.split("/")
    _require("replica_id", _ID.fullmatch(request.replica_id) is not None, "lower case letters, digits and -")
    _require("bundle", _BUNDLE.fullmatch(request.bundle) is not None, "namespaces/{namespace}/bundles/{sha256 hex}")
    _require("revision", all(_ID.fullmatch(part) for part in parts), "lower case letters, digits and - in every part")
    spec = request.spec
    strategy = spec.update_strategy
    return model.Wish(
        replica=request.replica_id,
        revision=request.revision,
        bundle=request.bundle,
        spec=json_format.MessageToDict(spec),
        predictor_type=_TYPES.get(spec.predictor.type, ""),
        python_version=spec.predictor.python_version,
        requirements=spec.predictor.dependencies.pip,
        conda_packages=spec.predictor.dependencies.conda,
        shell_script=spec.predictor.dependencies.shell,
        memory_bytes=spec.compute.memory_bytes,
        cpu_millis=spec.compute.cpu_millis or 200,
        neuron_devices=spec.compute.neuron_devices,
        worker_processes=max(1, spec.predictor.processes_per_replica),
        drain_timeout=seconds(strategy.drain_timeout, strategy.HasField("drain_timeout")),
    )


def _require(field: str, good: bool, expected: str) -> None:
    if not good:
        raise errors.InvalidArgument(f"{field}: expected {expected}", violations=[errors.Violation(field, expected)])


def drain_timeout(request: node_service_pb2.StopReplicaRequest) -> float:
    return seconds(request.drain_timeout, request.HasField("drain_timeout"))


def seconds(value: duration_pb2.Duration, given: bool) -> float:
    return max(0.0, value.ToNanoseconds() / 1e9) if given else _DEFAULT_DRAIN


def replica_config(
    record: model.Record,
    prepared: model.Prepared,
    *,
    chosen: settings.Settings,
    log_file: str,
    state_file: str,
    admin_token_file: str,
) -> str:
    """ReplicaConfig as protobuf JSON."""
    wanted = record.wish
    config = replica_config_pb2.ReplicaConfig(
        api=wanted.api,
        revision=wanted.revision_id,
        replica=wanted.replica,
        project_dir=prepared.project_dir,
        python=prepared.python,
        http_address=record.http_address,
        grpc_address=record.grpc_address,
        monitor_address=chosen.monitor_address,
        log_file=log_file,
        state_file=state_file,
        drain_timeout=_duration(wanted.drain_timeout),
        start_timeout=_duration(chosen.start_timeout),
        model_cache_dir=str(chosen.model_cache),
        model_cache_bytes=chosen.model_cache_bytes,
        triton_home=chosen.triton,
        admin_token_file=admin_token_file,
        neuron_core_first=record.neuron_core_first,
        neuron_core_count=record.neuron_core_count,
    )
    json_format.ParseDict(dict(wanted.spec), config.spec)
    return json_format.MessageToJson(config)


def replica(view: model.View) -> api_pb2.Replica:
    message = api_pb2.Replica(
        id=view.id,
        revision=view.revision,
        state=f"REPLICA_STATE_{view.state.value}",
        pid=view.pid,
        restart_count=view.restart_count,
        create_time=_time(view.create_time),
        message=view.message,
        http_address=view.http_address,
        grpc_address=view.grpc_address,
    )
    if view.ready_time is not None:
        message.ready_time.CopyFrom(_time(view.ready_time))
    if view.last_failure is not None:
        message.last_failure.CopyFrom(_failure(view.last_failure))
    return message


def node(
    node_id: str,
    *,
    cpus: int,
    memory_bytes: int,
    enforcement: str,
    weights: str,
    versions: tuple[str, ...],
    started: float,
) -> node_service_pb2.Node:
    return node_service_pb2.Node(
        id=node_id,
        cpu_millis=cpus * 1000,
        memory_bytes=memory_bytes,
        memory_enforcement=enforcement,
        cpu_enforcement=weights,
        python_versions=versions,
        start_time=_time(started),
    )


def _failure(failure: model.Failure) -> api_pb2.ReplicaFailure:
    return api_pb2.ReplicaFailure(
        reason=f"CONDITION_REASON_{failure.reason.value}",
        message=failure.message[:20_000],
        time=_time(failure.time),
        exit_code=failure.exit_code,
    )


def _time(value: float) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromMicroseconds(int(value * 1e6))
    return message


def _duration(value: float) -> duration_pb2.Duration:
    message = duration_pb2.Duration()
    message.FromMicroseconds(int(value * 1e6))
    return message
