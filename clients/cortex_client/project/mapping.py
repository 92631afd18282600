"""From what the checker found to the contract's message: one assignment per field, and nothing decided here."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import duration_pb2, json_format, message, struct_pb2

from cortex.apiserver.v1 import spec_pb2

_LONGEST_SOURCE = 64 * 1024
_MODELS = "predictor.models"

_ENUMS: dict[str, Callable[[Any], int]] = {
    "kind": lambda _: spec_pb2.API_KIND_REALTIME,
    "predictor.type": lambda value: spec_pb2.PredictorType.Value(f"PREDICTOR_TYPE_{value.upper()}"),
    "predictor.task": lambda value: spec_pb2.PredictorTask.Value(f"PREDICTOR_TASK_{_constant(value)}"),
    "predictor.worker.start": lambda value: spec_pb2.WorkerStart.Value(f"WORKER_START_{_constant(value)}"),
    "predictor.worker.on_cancel": lambda value: spec_pb2.CancelPolicy.Value(f"CANCEL_POLICY_{_constant(value)}"),
    "monitoring.model_type": lambda value: spec_pb2.ModelType.Value(f"MODEL_TYPE_{value.upper()}"),
    "networking.retry_policy": lambda value: spec_pb2.RETRY_POLICY_ENABLED if value else spec_pb2.RETRY_POLICY_DISABLED,
}


def to_spec(settings: Mapping[str, Any], not_in_effect: list[str], source: str) -> spec_pb2.ApiSpec:
    """`settings` holds the value of each target field, as `convert.convert` made it."""
    spec = spec_pb2.ApiSpec(kind=spec_pb2.API_KIND_REALTIME, source=source)
    notices = list(not_in_effect)
    if len(source.encode()) > _LONGEST_SOURCE:
        spec.source = ""
        notices.append("(document): longer than 64 KiB, so it is not kept with the revision")
    for target, value in settings.items():
        _assign(spec, target, value)
    spec.not_in_effect.extend(notices)
    return spec


def _assign(spec: spec_pb2.ApiSpec, target: str, value: Any) -> None:
    if target == "name":
        return
    if target.startswith(_MODELS):
        spec.predictor.models.update(_models(target.removeprefix(_MODELS).removeprefix("."), value))
        return
    parent: message.Message = spec
    *sections, name = target.split(".")
    for section in sections:
        parent = getattr(parent, section)
        parent.SetInParent()
    if target in _ENUMS:
        value = _ENUMS[target](value)
    elif target == "networking.endpoint":
        value = "/" + value.strip("/")
    _set(parent, name, value)


def _constant(word: str) -> str:
    return word.upper().replace("-", "_")


def _models(key: str, value: Any) -> dict[str, Any]:
    """The one shape the runtime reads: the mapping since 0.25, whatever era it was written in. Times in seconds."""
    if key:
        return {key: value}
    if isinstance(value, str):
        return {"path": value}
    found: dict[str, Any] = {"paths": value} if isinstance(value, list) else _renamed(value)
    if "paths" in found:
        found["paths"] = [_renamed(entry) for entry in found["paths"]]
    if "poll_interval" in found:
        found["poll_interval"] /= 1e9
    return found


def _renamed(model: Mapping[str, Any]) -> dict[str, Any]:
    """`model_path` is `path` since 0.25. Who gives both is told so by the platform."""
    if "model_path" not in model or "path" in model:
        return dict(model)
    return {"path" if key == "model_path" else key: value for key, value in model.items()}


def _set(parent: message.Message, name: str, value: Any) -> None:
    current = getattr(parent, name)
    if isinstance(current, duration_pb2.Duration):
        current.FromNanoseconds(value)
        current.SetInParent()
    elif isinstance(current, struct_pb2.Struct):
        json_format.ParseDict(value, current)
        current.SetInParent()
    elif isinstance(value, dict):
        current.update(value)
    elif isinstance(value, list):
        for item in value:
            current.add(**item) if isinstance(item, dict) else current.append(item)
    else:
        setattr(parent, name, value)
