"""Bounds of the predictor: what each field may hold, and which fields contradict one another."""

import re
from collections.abc import Iterator, Mapping, Sequence

from services.apiserver import bounds, validation_models
from services.apiserver import spec as specs
from services.apiserver.errors import Violation

MOST_ENV_BYTES = 128 * 1024
LOG_LEVELS = ("debug", "info", "warning", "error")
TASKS = ("TEXT_GENERATION", "EMBEDDING")
STARTS = ("SPAWN", "FORK_SERVER", "FORK_LOADED")
DATATYPES = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32",
    "FP64", "BF16", "BYTES",
)  # fmt: skip
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PYTHON = re.compile(r"3\.(\d{1,2})(\.\d{1,3})?")
_OLDEST_PYTHON = 8  # what runs in a worker beside the user's class needs it
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def check(predictor: specs.Predictor) -> Iterator[Violation]:
    yield from _code(predictor)
    yield from bounds.between("predictor.processes_per_replica", predictor.processes_per_replica, 1, 100)
    yield from bounds.between("predictor.threads_per_process", predictor.threads_per_process, 1, 1024)
    if predictor.log_level not in LOG_LEVELS:
        yield Violation("predictor.log_level", f"must be one of {', '.join(LOG_LEVELS)}")
    if predictor.python_version:
        found = _PYTHON.fullmatch(predictor.python_version)
        if found is None or int(found[1]) < _OLDEST_PYTHON:
            text = f"must be a version of Python from 3.{_OLDEST_PYTHON} on, such as 3.11"
            yield Violation("predictor.python_version", text)
    if predictor.task not in ("", *TASKS):
        yield Violation("predictor.task", "must be text-generation or embedding")
    yield from bounds.json_value("predictor.config", predictor.config)
    yield from validation_models.check(predictor)
    yield from _environment(predictor.env)
    yield from _batching(predictor)
    yield from _tensors("predictor.inputs", predictor.inputs)
    yield from _tensors("predictor.outputs", predictor.outputs)
    yield from _worker(predictor.worker)


def _code(predictor: specs.Predictor) -> Iterator[Violation]:
    yield from bounds.inside("predictor.path", predictor.path)
    yield from bounds.inside("predictor.python_path", predictor.python_path)
    yield from bounds.inside("predictor.protobuf_path", predictor.protobuf_path)
    for name in ("pip", "conda", "shell"):
        yield from bounds.inside(f"predictor.dependencies.{name}", getattr(predictor, name))
    if predictor.type == "TRITON":
        for name in ("path", "protobuf_path", "server_side_batching"):
            if getattr(predictor, name):
                yield Violation(
                    f"predictor.{name}", f"type triton serves its repository and runs no class: {_SAY[name]}"
                )
    elif not predictor.path.endswith(".py"):
        yield Violation("predictor.path", "required: the path of a .py file in the project")
    if predictor.protobuf_path and not predictor.protobuf_path.endswith(".proto"):
        yield Violation("predictor.protobuf_path", "must be the path of a .proto file in the project")
    if predictor.class_name and not predictor.class_name.isidentifier():
        yield Violation("predictor.class_name", "must be the name of a class")


_SAY = {
    "path": "remove the path, or choose another type",
    "protobuf_path": "callers use the Open Inference Protocol",
    "server_side_batching": "set dynamic_batching in the model's config.pbtxt",
}


def _batching(predictor: specs.Predictor) -> Iterator[Violation]:
    batching = predictor.server_side_batching
    if batching is None:
        return
    here = "predictor.server_side_batching"
    yield from bounds.between(f"{here}.max_batch_size", batching.max_batch_size, 2, 1024)
    if batching.batch_interval <= 0:
        yield Violation(f"{here}.batch_interval", "must be more than 0 s")
    else:
        yield from bounds.seconds(f"{here}.batch_interval", batching.batch_interval)
    if predictor.protobuf_path:
        yield Violation(here, "cannot be combined with protobuf_path: each RPC is a call of its own")


def _tensors(field: str, tensors: Sequence[specs.Tensor]) -> Iterator[Violation]:
    if len(tensors) > 256:
        yield Violation(field, "at most 256 tensors")
    names = [tensor.name for tensor in tensors]
    for number, tensor in enumerate(tensors):
        here = f"{field}[{number}]"
        if not 1 <= len(tensor.name) <= 256:
            yield Violation(f"{here}.name", "required: 1 to 256 characters")
        elif names.index(tensor.name) != number:
            yield Violation(f"{here}.name", f"{tensor.name!r} is the name of two tensors")
        if tensor.datatype not in DATATYPES:
            yield Violation(f"{here}.datatype", f"must be one of {', '.join(DATATYPES)}")
        if len(tensor.shape) > 16 or any(size < 1 and size != -1 for size in tensor.shape):
            yield Violation(f"{here}.shape", "at most 16 dimensions, each 1 or more, or -1 where it varies")


def _worker(worker: specs.WorkerPolicy) -> Iterator[Violation]:
    if worker.start not in STARTS:
        yield Violation("predictor.worker.start", "must be spawn, fork-server or fork-loaded")
    if worker.on_cancel not in ("WAIT", "KILL"):
        yield Violation("predictor.worker.on_cancel", "must be wait or kill")
    if len(worker.preload) > 64 or any(_MODULE.fullmatch(module) is None for module in worker.preload):
        yield Violation("predictor.worker.preload", "at most 64 names of modules such as torch or xgboost.sklearn")
    if worker.memory_bytes:
        least, most = 20 * bounds.MIB, 2**50
        yield from bounds.between("predictor.worker.memory", worker.memory_bytes, least, most, unit=" bytes")
    if worker.hang_timeout:
        yield from bounds.seconds("predictor.worker.hang_timeout", worker.hang_timeout, least=1)
    yield from bounds.between("predictor.worker.max_requests", worker.max_requests, 0, 2**31 - 1)
    yield from bounds.seconds("predictor.worker.cancel_grace", worker.cancel_grace)


def _environment(env: Mapping[str, str]) -> Iterator[Violation]:
    for name, value in env.items():
        field = f"predictor.env.{name[:80]}"
        if not _ENV_NAME.fullmatch(name):
            yield Violation(field, "names have letters, digits and underscores and do not begin with a digit")
        if name.upper().startswith("CORTEX_"):
            yield Violation(field, "names that begin with CORTEX_ are reserved; choose another")
        if "\0" in value:
            yield Violation(field, "values cannot hold a NUL character")
    if sum(len(name) + len(value) for name, value in env.items()) > MOST_ENV_BYTES:
        yield Violation("predictor.env", f"names and values may have {MOST_ENV_BYTES // 1024} KiB together")
