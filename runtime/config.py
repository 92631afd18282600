"""What the node tells a replica: ReplicaConfig as proto JSON, read once into plain values."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

from cortex.apiserver.v1 import spec_pb2
from cortex.runtime.v1 import replica_config_pb2

_MODEL_TYPES = {
    spec_pb2.MODEL_TYPE_CLASSIFICATION: "classification",
    spec_pb2.MODEL_TYPE_REGRESSION: "regression",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds, sizes in bytes. `request_timeout` 0 means none."""

    api: str
    revision: str
    replica: str
    http_address: str
    grpc_address: str
    monitor_address: str
    log_file: str
    state_file: str
    python: str
    drain_timeout: float
    start_timeout: float
    request_timeout: float
    max_request_bytes: int
    max_concurrency: int
    processes: int
    threads: int
    log_level: str
    env: Mapping[str, str]
    setup: Mapping[str, Any]  # what each worker is told to load


def load(path: pathlib.Path) -> Settings:
    """Reads the file at `path`."""
    message = replica_config_pb2.ReplicaConfig()
    json_format.Parse(path.read_text(), message, ignore_unknown_fields=True)
    return convert(message)


def convert(message: replica_config_pb2.ReplicaConfig) -> Settings:
    """Applies the defaults that spec.proto documents."""
    spec, predictor = message.spec, message.spec.predictor
    timeout = spec.networking.request_timeout
    return Settings(
        api=message.api,
        revision=message.revision,
        replica=message.replica,
        http_address=message.http_address,
        grpc_address=message.grpc_address,
        monitor_address=message.monitor_address,
        log_file=message.log_file,
        state_file=message.state_file,
        python=message.python,
        drain_timeout=_seconds(message.drain_timeout, message.HasField("drain_timeout"), 60.0),
        start_timeout=_seconds(message.start_timeout, message.HasField("start_timeout"), 600.0),
        request_timeout=_seconds(timeout, spec.networking.HasField("request_timeout"), 60.0),
        max_request_bytes=spec.networking.max_request_bytes or 64 * 1024 * 1024,
        max_concurrency=spec.autoscaling.max_replica_concurrency or 1024,
        processes=predictor.processes_per_replica or 1,
        threads=predictor.threads_per_process or 1,
        log_level=predictor.log_level or "info",
        env=dict(predictor.env),
        setup={
            "project_dir": message.project_dir,
            "path": predictor.path,
            "class_name": predictor.class_name,
            "python_path": predictor.python_path,
            "config": plain(predictor.config),
            "models": plain(predictor.models),
            "threads": predictor.threads_per_process or 1,
            "log_level": predictor.log_level or "info",
            "monitoring": {"model_type": _MODEL_TYPES.get(spec.monitoring.model_type, ""), "key": spec.monitoring.key},
        },
    )


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A Struct as Python values. It knows doubles only, so whole numbers become int again, as the user wrote them."""
    text = json_format.MessageToJson(struct)
    value: dict[str, Any] = json.loads(text, parse_float=number)
    return value


def number(text: str) -> int | float:
    """A JSON number as its writer meant it."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _seconds(duration: Any, is_set: bool, default: float) -> float:
    return duration.seconds + duration.nanos / 1e9 if is_set else default


def split_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
