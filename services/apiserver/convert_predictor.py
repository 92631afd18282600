"""Protobuf <-> domain words for the predictor, the widest part of a spec."""

from collections.abc import Sequence
from typing import Any

from cortex.apiserver.v1 import spec_pb2
from services.apiserver import spec as specs
from services.apiserver import wire


def to_pb(predictor: specs.Predictor) -> spec_pb2.Predictor:
    made = spec_pb2.Predictor(
        type=f"PREDICTOR_TYPE_{predictor.type}",
        path=predictor.path,
        class_name=predictor.class_name,
        python_path=predictor.python_path,
        env=predictor.env,
        processes_per_replica=predictor.processes_per_replica,
        threads_per_process=predictor.threads_per_process,
        log_level=predictor.log_level,
        dependencies=spec_pb2.Dependencies(pip=predictor.pip, conda=predictor.conda, shell=predictor.shell),
        python_version=predictor.python_version,
        server_side_batching=_batching_to_pb(predictor.server_side_batching),
        protobuf_path=predictor.protobuf_path,
        task=f"PREDICTOR_TASK_{predictor.task or 'UNSPECIFIED'}",
        inputs=_tensors_to_pb(predictor.inputs),
        outputs=_tensors_to_pb(predictor.outputs),
        worker=_worker_to_pb(predictor.worker),
    )
    made.config.update(predictor.config)
    made.models.update(predictor.models)
    return made


def _batching_to_pb(batching: specs.ServerSideBatching | None) -> spec_pb2.ServerSideBatching | None:
    if batching is None:
        return None
    return spec_pb2.ServerSideBatching(
        max_batch_size=batching.max_batch_size, batch_interval=wire.duration(batching.batch_interval)
    )


def _tensors_to_pb(tensors: Sequence[specs.Tensor]) -> list[spec_pb2.Tensor]:
    return [spec_pb2.Tensor(name=each.name, datatype=each.datatype, shape=each.shape) for each in tensors]


def _worker_to_pb(worker: specs.WorkerPolicy) -> spec_pb2.WorkerPolicy:
    return spec_pb2.WorkerPolicy(
        start=f"WORKER_START_{worker.start}",
        preload=worker.preload,
        memory_bytes=worker.memory_bytes,
        hang_timeout=wire.duration(worker.hang_timeout),
        max_requests=worker.max_requests,
        on_cancel=f"CANCEL_POLICY_{worker.on_cancel}",
        cancel_grace=wire.duration(worker.cancel_grace),
    )


def said(message: spec_pb2.Predictor) -> dict[str, Any]:
    found = wire.given(message) | wire.given(message.dependencies)
    found["type"] = wire.enum_name(spec_pb2.PredictorType, message.type)
    found["task"] = wire.enum_name(spec_pb2.PredictorTask, message.task)
    if message.HasField("server_side_batching"):
        found["server_side_batching"] = specs.ServerSideBatching(**wire.given(message.server_side_batching))
    for side in ("inputs", "outputs"):
        found[side] = tuple(specs.Tensor(**wire.given(tensor)) for tensor in getattr(message, side))
    worker = wire.given(message.worker)
    for name, kind in (("start", spec_pb2.WorkerStart), ("on_cancel", spec_pb2.CancelPolicy)):
        if name in worker:
            worker[name] = wire.enum_name(kind, worker[name])
    found["worker"] = specs.WorkerPolicy(**worker)
    return found
