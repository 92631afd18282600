"""Protobuf <-> domain words for specs: total, and a round trip changes nothing but what is unset.

What comes in is a `defaults.Wish`, which `defaults.resolve` completes. Statuses, revisions and events only ever go out:
`convert_status`.
"""

from typing import Any

from cortex.apiserver.v1 import spec_pb2
from services.apiserver import convert_predictor, defaults, wire
from services.apiserver import spec as specs


def spec_to_pb(spec: specs.ApiSpec) -> spec_pb2.ApiSpec:
    monitoring = spec.monitoring
    return spec_pb2.ApiSpec(
        kind=f"API_KIND_{spec.kind}",
        predictor=convert_predictor.to_pb(spec.predictor),
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
            progress_deadline=wire.duration(spec.update_strategy.progress_deadline),
            drain_timeout=wire.duration(spec.update_strategy.drain_timeout),
        ),
        monitoring=None
        if monitoring is None
        else spec_pb2.Monitoring(model_type=f"MODEL_TYPE_{monitoring.model_type.value}", key=monitoring.key),
        bundle_digest=spec.bundle_digest,
        source=spec.source,
        not_in_effect=spec.not_in_effect,
    )


def _networking_to_pb(networking: specs.Networking) -> spec_pb2.Networking:
    retries = spec_pb2.RETRY_POLICY_ENABLED if networking.retries else spec_pb2.RETRY_POLICY_DISABLED
    return spec_pb2.Networking(
        endpoint=networking.endpoint,
        request_timeout=wire.duration(networking.request_timeout),
        retry_policy=retries,
        max_request_bytes=networking.max_request_bytes,
        activation_timeout=wire.duration(networking.activation_timeout),
    )


def _autoscaling_to_pb(scaling: specs.Autoscaling) -> spec_pb2.Autoscaling:
    return spec_pb2.Autoscaling(
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        init_replicas=scaling.init_replicas,
        target_in_flight=scaling.target_in_flight,
        max_replica_concurrency=scaling.max_replica_concurrency,
        window=wire.duration(scaling.window),
        downscale_stabilization_period=wire.duration(scaling.downscale_stabilization_period),
        upscale_stabilization_period=wire.duration(scaling.upscale_stabilization_period),
        max_downscale_factor=scaling.max_downscale_factor,
        max_upscale_factor=scaling.max_upscale_factor,
        downscale_tolerance=scaling.downscale_tolerance,
        upscale_tolerance=scaling.upscale_tolerance,
    )


def wish(message: spec_pb2.ApiSpec) -> defaults.Wish:
    """What was said. An enum value this version does not know becomes its number as text."""
    networking = wire.given(message.networking)
    retries = networking.pop("retry_policy", spec_pb2.RETRY_POLICY_UNSPECIFIED)
    networking["retries"] = retries != spec_pb2.RETRY_POLICY_DISABLED
    return defaults.Wish(
        kind=wire.enum_name(spec_pb2.ApiKind, message.kind),
        bundle_digest=message.bundle_digest,
        predictor=convert_predictor.said(message.predictor),
        networking=networking,
        compute=wire.given(message.compute),
        autoscaling=wire.given(message.autoscaling),
        update_strategy=wire.given(message.update_strategy),
        monitoring=_monitoring(message.monitoring) if message.HasField("monitoring") else None,
        source=message.source,
        not_in_effect=tuple(message.not_in_effect),
    )


def _monitoring(message: spec_pb2.Monitoring) -> dict[str, Any]:
    name = wire.enum_name(spec_pb2.ModelType, message.model_type)
    known = name in specs.ModelType.__members__
    return {"key": message.key, "model_type": specs.ModelType[name] if known else None}
