"""A model's configuration: read from config.pbtxt, completed where the user left gaps, and what follows from it.

Everywhere it is a plain mapping in Triton's JSON form, because that is what Triton's own API takes and gives.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, text_format

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from runtime.inference import ModelMetadata, TensorMetadata

Config = Mapping[str, Any]

_PLATFORM_BACKENDS = {
    "onnxruntime_onnx": "onnxruntime",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
    "pytorch_libtorch": "pytorch",
    "tensorrt_plan": "tensorrt",
    "ensemble": "",
}
# The platform that metadata tells, as Triton names it where it has a name.
_BACKEND_PLATFORMS = {
    "onnxruntime": "onnxruntime_onnx",
    "tensorflow": "tensorflow_savedmodel",
    "pytorch": "pytorch_libtorch",
    "tensorrt": "tensorrt_plan",
}
# By the file that a version folder holds: backend and the name Triton looks for.
ARTIFACTS = {
    "model.py": "python",
    "model.onnx": "onnxruntime",
    "model.savedmodel": "tensorflow",
    "model.pt": "pytorch",
    "model.plan": "tensorrt",
    "model.json": "fil",
    "model.ubj": "fil",
    "model.txt": "fil",
    "model.joblib": "sklearn",
    "model.pkl": "sklearn",
    "model_neuron.pt": "neuronx",
}
# A decoupled model answers many requests at a time from one instance.
_DECOUPLED_PERMITS = 64


class Invalid(Exception):
    """The configuration cannot be used; the text says where and why."""


def parse(text: str, where: str) -> dict[str, Any]:
    """config.pbtxt as JSON form. Raises Invalid with the line."""
    try:
        message = text_format.Parse(text, pb.ModelConfig())
    except text_format.ParseError as error:
        raise Invalid(f"{where}:{error.GetLine()}: {error}") from None
    return to_json(message)


def to_json(message: pb.ModelConfig) -> dict[str, Any]:
    """64-bit numbers are numbers here, as in Triton's JSON."""
    value: dict[str, Any] = _numbers(json_format.MessageToDict(message, preserving_proto_field_name=True))
    return value


def to_text(config: Config) -> str:
    """As config.pbtxt."""
    return text_format.MessageToString(
        json_format.ParseDict(dict(config), pb.ModelConfig(), ignore_unknown_fields=True)
    )


def _numbers(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _numbers(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item, key) for item in value]
    if isinstance(value, str) and key in _INT64_FIELDS:
        return int(value)
    return value


_INT64_FIELDS = {
    "dims", "shape", "versions", "max_queue_delay_microseconds", "default_timeout_microseconds",
    "default_priority_level", "priority_levels", "max_sequence_idle_microseconds",
}  # fmt: skip


def backend(config: Config) -> str:
    """Which backend runs it; empty for an ensemble."""
    named = str(config.get("backend", ""))
    return named or _PLATFORM_BACKENDS.get(str(config.get("platform", "")), str(config.get("platform", "")))


def is_ensemble(config: Config) -> bool:
    return config.get("platform") == "ensemble" or "ensemble_scheduling" in config


def members(config: Config) -> frozenset[str]:
    """The models that an ensemble is made of; Triton loads them with it."""
    steps = config.get("ensemble_scheduling", {}).get("step", ())
    return frozenset(str(step.get("model_name", "")) for step in steps)


def is_decoupled(config: Config) -> bool:
    return bool(config.get("model_transaction_policy", {}).get("decoupled", False))


def is_sequence(config: Config) -> bool:
    return "sequence_batching" in config


def detect(version: pathlib.Path) -> str:
    """The backend of the artifact in a version folder; empty when there is none we know."""
    return next((name for file, name in ARTIFACTS.items() if (version / file).exists()), "")


def complete(config: Config, name: str, version: pathlib.Path, *, gpus: int = 0) -> dict[str, Any]:
    """Names the model, its backend and where its instances run, where the user did not. Raises Invalid."""
    done = dict(config)
    if done.setdefault("name", name) != name:
        raise Invalid(
            f"the config of {name} names another model, {done['name']!r}; leave `name` out or make it the folder's"
        )
    if is_ensemble(done):
        return done
    done["backend"] = backend(done) or detect(version)
    if not done["backend"]:
        known = ", ".join(ARTIFACTS)
        raise Invalid(f"{version} holds no model file that is known ({known}), and the config names no backend")
    if done.get("platform") in _PLATFORM_BACKENDS:
        del done["platform"]
    if not gpus:
        groups = done.get("instance_group") or [{"count": 1}]
        done["instance_group"] = [{**_without_gpu(group), "kind": "KIND_CPU"} for group in groups]
    return done


def _without_gpu(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ("gpus", "kind", "secondary_devices")}


def lacks(config: Config) -> bool:
    """Whether inputs and outputs have to be read from the model itself."""
    return not is_ensemble(config) and (not config.get("input") or not config.get("output"))


def check(config: Config) -> None:
    """The same is refused whoever runs the model, and with its place. Raises Invalid."""
    where = f"the config of {config['name']}"
    if (most := int(config.get("max_batch_size", 0))) < 0:
        raise Invalid(
            f"{where}: max_batch_size is {most}; write the most rows of a batch, or 0 for a model without batches"
        )
    for kind in ("input", "output"):
        for index, told in enumerate(config.get(kind, ())):
            if not told.get("name"):
                raise Invalid(f"{where}: {kind}[{index}] has no name")
            place = f"{where}: {kind} {told['name']!r}"
            if told.get("data_type", "TYPE_INVALID") == "TYPE_INVALID":
                raise Invalid(f"{place} has no data_type; write one such as TYPE_FP32")
            if not told.get("dims"):
                raise Invalid(f"{place} has no dims; write its shape without the batch, -1 where a size varies")
            for at, size in enumerate(told["dims"]):
                if size != -1 and size < 1:
                    raise Invalid(f"{place}: dims[{at}] is {size}; write 1 or more, or -1 where the size varies")


def permits(config: Config) -> int:
    """Requests the model can run at a time: its instances, each with a full batch."""
    told = config.get("parameters", {}).get("CORTEX_CONCURRENCY", {}).get("string_value", "")
    if str(told).isascii() and str(told).isdigit() and len(told) <= 18 and int(told) > 0:
        return int(told)
    instances = len(devices(config))
    batch = max(1, int(config.get("max_batch_size", 0))) if "dynamic_batching" in config else 1
    if is_decoupled(config) or is_ensemble(config):
        return max(_DECOUPLED_PERMITS, instances * batch)
    return instances * batch


def devices(config: Config) -> list[tuple[str, int]]:
    """Kind and device of each instance: `count` on each of the GPUs that a group names, of which 0 is the default. As
    in Triton, code in Python computes on the CPU unless its group says KIND_GPU."""
    found = []
    for group in config.get("instance_group") or [{"count": 1}]:
        kind = "GPU" if group.get("kind") == "KIND_GPU" else "CPU"
        chosen = (group.get("gpus") or [0]) if kind == "GPU" else [0]
        found += [(kind, int(device)) for device in chosen for _ in range(max(1, int(group.get("count", 1))))]
    return found


def metadata(config: Config, versions: tuple[int, ...]) -> ModelMetadata:
    """What the Open Inference Protocol tells of the model."""
    batch = (-1,) if int(config.get("max_batch_size", 0)) > 0 else ()
    named = backend(config)
    return ModelMetadata(
        name=str(config["name"]),
        versions=tuple(str(version) for version in versions),
        platform=_BACKEND_PLATFORMS.get(named, named) or "ensemble",
        inputs=tuple(_tensor(told, batch) for told in config.get("input", ())),
        outputs=tuple(_tensor(told, batch) for told in config.get("output", ())),
    )


def _tensor(told: Mapping[str, Any], batch: tuple[int, ...]) -> TensorMetadata:
    datatype = str(told["data_type"]).removeprefix("TYPE_")
    dims = tuple(int(size) for size in told.get("dims", ()))
    return TensorMetadata(str(told["name"]), "BYTES" if datatype == "STRING" else datatype, batch + dims)


def optional_inputs(config: Config) -> frozenset[str]:
    return frozenset(str(told["name"]) for told in config.get("input", ()) if told.get("optional"))


def serving_versions(config: Config, present: tuple[int, ...]) -> tuple[int, ...]:
    """Which of the versions on disk are served: the newest, unless the config says otherwise."""
    policy = config.get("version_policy", {})
    if "all" in policy:
        return present
    if "specific" in policy:
        wanted = {int(version) for version in policy["specific"].get("versions", ())}
        return tuple(version for version in present if version in wanted)
    count = int(policy.get("latest", {}).get("num_versions", 1))
    return present[-max(1, count) :]


def from_json(text: str) -> dict[str, Any]:
    """The `config` parameter of a load. Raises Invalid."""
    try:
        return to_json(json_format.Parse(text, pb.ModelConfig(), max_recursion_depth=32))
    except json_format.ParseError as error:  # of which further lines list every field there is
        raise Invalid(f"the config is not a model configuration: {str(error).partition(chr(10))[0]}") from None


def merge(config: Config, told: Config) -> dict[str, Any]:
    """Adds what the model itself told: inputs and outputs, and whether it takes batches."""
    merged = {**told, **{key: value for key, value in config.items() if value not in ([], {})}}
    if "max_batch_size" not in config and int(told.get("max_batch_size", 0)) > 0:
        merged["max_batch_size"] = told["max_batch_size"]
        merged.setdefault("dynamic_batching", {})
    return merged
