"""Protobuf <-> domain words for specs: total, and a round trip changes nothing but what is unset.

What comes in is a `defaults.Wish`, which `defaults.resolve` completes. Statuses, revisions and events only ever go out:
`convert_status`.
"""

import math
from typing import Any

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2

from cortex.apiserver.v1 import spec_pb2
from services.apiserver import defaults
from services.apiserver import spec as specs


def timestamp(seconds: float | None) -> timestamp_pb2.Timestamp | None:
    if seconds is None:
        return None
    made = timestamp_pb2.Timestamp()
    made.FromMicroseconds(round(seconds * 1e6))
    return made


def duration(seconds: float) -> duration_pb2.Duration:
    made = duration_pb2.Duration()
    made.FromNanoseconds(round(seconds * 1e9))
    return made


def seconds(value: duration_pb2.Duration) -> float:
    # One division rounds once: a sum of seconds and a fraction would not come back as it went.
    return value.ToNanoseconds() / 1e9


def spec_to_pb(spec: specs.ApiSpec) -> spec_pb2.ApiSpec:
    monitoring = spec.monitoring
    return spec_pb2.ApiSpec(
        kind=f"API_KIND_{spec.kind}",
        predictor=_predictor_to_pb(spec.predictor),
        compute=spec_pb2.Compute(
            cpu_millis=spec.compute.cpu_millis,
            memory_bytes=spec.compute.memory_bytes,
            gpus=spec.compute.gpus,
            neuron_devices=spec.compute.neuron_devices,
            node_groups=spec.compute.node_groups,
        ),
        networking=_networking_to_pb(spec.networking),
        autoscaling=_autoscaling_to_pb(spec.autoscaling),
        update_strategy=spec_pb2.UpdateStrategy(
            max_surge=spec.update_strategy.max_surge,
            max_unavailable=spec.update_strategy.max_unavailable,
            progress_deadline=duration(spec.update_strategy.progress_deadline),
            drain_timeout=duration(spec.update_strategy.drain_timeout),
        ),
        monitoring=None
        if monitoring is None
        else spec_pb2.Monitoring(model_type=f"MODEL_TYPE_{monitoring.model_type.value}", key=monitoring.key),
        bundle_digest=spec.bundle_digest,
        source=spec.source,
        not_in_effect=spec.not_in_effect,
    )


def _predictor_to_pb(predictor: specs.Predictor) -> spec_pb2.Predictor:
    made = spec_pb2.Predictor(
        type=f"PREDICTOR_TYPE_{predictor.type}",
        path=predictor.path,
        class_name=predictor.class_name,
        python_path=predictor.python_path,
        env=predictor.env,
        processes_per_replica=predictor.processes_per_replica,
        threads_per_process=predictor.threads_per_process,
        log_level=predictor.log_level,
        dependencies=spec_pb2.Dependencies(pip=predictor.pip),
        python_version=predictor.python_version,
    )
    made.config.update(predictor.config)
    made.models.update(predictor.models)
    return made


def _networking_to_pb(networking: specs.Networking) -> spec_pb2.Networking:
    retries = spec_pb2.RETRY_POLICY_ENABLED if networking.retries else spec_pb2.RETRY_POLICY_DISABLED
    return spec_pb2.Networking(
        endpoint=networking.endpoint,
        request_timeout=duration(networking.request_timeout),
        retry_policy=retries,
        max_request_bytes=networking.max_request_bytes,
        activation_timeout=duration(networking.activation_timeout),
    )


def _autoscaling_to_pb(scaling: specs.Autoscaling) -> spec_pb2.Autoscaling:
    return spec_pb2.Autoscaling(
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        init_replicas=scaling.init_replicas,
        target_in_flight=scaling.target_in_flight,
        max_replica_concurrency=scaling.max_replica_concurrency,
        window=duration(scaling.window),
        downscale_stabilization_period=duration(scaling.downscale_stabilization_period),
        upscale_stabilization_period=duration(scaling.upscale_stabilization_period),
        max_downscale_factor=scaling.max_downscale_factor,
        max_upscale_factor=scaling.max_upscale_factor,
        downscale_tolerance=scaling.downscale_tolerance,
        upscale_tolerance=scaling.upscale_tolerance,
    )


def struct_to_json(struct: struct_pb2.Struct) -> dict[str, Any]:
    return {key: _value_to_json(value) for key, value in struct.fields.items()}


def _value_to_json(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        # The wire knows one kind of number; the user's `threshold: 3` shall reach the predictor as 3, not as 3.0.
        return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 2**53 else number
    if kind == "struct_value":
        return struct_to_json(value.struct_value)
    if kind == "list_value":
        return [_value_to_json(inner) for inner in value.list_value.values]
    return getattr(value, kind) if kind in ("string_value", "bool_value") else None


def wish(message: spec_pb2.ApiSpec) -> defaults.Wish:
    """What was said. An enum value this version does not know becomes its number as text."""
    predictor = _given(message.predictor)
    if message.predictor.dependencies.pip:
        predictor["pip"] = message.predictor.dependencies.pip
    predictor["type"] = _enum(spec_pb2.PredictorType, message.predictor.type)
    networking = _given(message.networking)
    retries = networking.pop("retry_policy", spec_pb2.RETRY_POLICY_UNSPECIFIED)
    networking["retries"] = retries != spec_pb2.RETRY_POLICY_DISABLED
    return defaults.Wish(
        kind=_enum(spec_pb2.ApiKind, message.kind),
        bundle_digest=message.bundle_digest,
        predictor=predictor,
        networking=networking,
        compute=_given(message.compute),
        autoscaling=_given(message.autoscaling),
        update_strategy=_given(message.update_strategy),
        monitoring=_monitoring(message.monitoring) if message.HasField("monitoring") else None,
        source=message.source,
        not_in_effect=tuple(message.not_in_effect),
    )


def _monitoring(message: spec_pb2.Monitoring) -> dict[str, Any]:
    name = _enum(spec_pb2.ModelType, message.model_type)
    known = name in specs.ModelType.__members__
    return {"key": message.key, "model_type": specs.ModelType[name] if known else None}


def _enum(kind: Any, value: int) -> str:
    """The value's name without the prefix that all names of its enum share; empty when unset."""
    if value == 0:
        return ""
    prefix = kind.Name(0).removesuffix("UNSPECIFIED")
    return kind.Name(value).removeprefix(prefix) if value in kind.values() else str(value)


def _given(message: Any) -> dict[str, Any]:
    """The fields that say something: present ones, and those without presence that are not zero. Durations become
    seconds, structs JSON, maps and lists plain ones; nested messages of ours stay out."""
    return {field.name: _plain(field, value) for field, value in message.ListFields() if _is_value(field)}


def _is_value(field: Any) -> bool:
    kind = field.message_type
    return kind is None or kind.GetOptions().map_entry or kind.file.package == "google.protobuf"


def _plain(field: Any, value: Any) -> Any:
    if isinstance(value, duration_pb2.Duration):
        return seconds(value)
    if isinstance(value, struct_pb2.Struct):
        return struct_to_json(value)
    if field.message_type is not None:
        return dict(value)
    return tuple(value) if field.is_repeated else value
