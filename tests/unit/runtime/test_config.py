"""What a replica makes of the file that the node writes."""

import datetime
import itertools
import pathlib
import random
from typing import Any

import pytest
from google.protobuf import descriptor, json_format

from cortex.apiserver.v1 import spec_pb2 as pb
from cortex.runtime.v1 import replica_config_pb2
from runtime import __main__, config, proto_json

ReplicaConfig = replica_config_pb2.ReplicaConfig


def read(folder: pathlib.Path, text: str) -> config.Settings:
    path = folder / "replica.json"
    path.write_text(text)
    return config.load(path)


def by_protobuf(told: ReplicaConfig) -> config.Settings:
    """The same reading, of the message itself."""
    spec, predictor, monitoring = told.spec, told.spec.predictor, told.spec.monitoring
    cores = (told.neuron_core_first, told.neuron_core_count)
    setup = {
        **{name: getattr(predictor, name) for name in ("path", "class_name", "python_path")},
        "project_dir": told.project_dir,
        "config": json_format.MessageToDict(predictor.config),
        "models": json_format.MessageToDict(predictor.models),
        "threads": threads(predictor),
        "batching": predictor.HasField("server_side_batching"),
        "log_level": predictor.log_level or "info",
        "predictor_type": word(pb.PredictorType, predictor.type, "PREDICTOR_TYPE_") or "python",
        **{name: [tensor(each) for each in getattr(predictor, name)] for name in ("inputs", "outputs")},
        "monitoring": {"model_type": word(pb.ModelType, monitoring.model_type, "MODEL_TYPE_"), "key": monitoring.key},
    }
    same = ("api", "revision", "replica", "http_address", "grpc_address", "monitor_address", "log_file", "state_file")
    also = ("python", "model_cache_dir", "model_cache_bytes", "triton_home", "admin_token_file")
    batching = predictor.server_side_batching
    return config.Settings(
        **{name: getattr(told, name) for name in (*same, *also)},
        drain_timeout=seconds(told, "drain_timeout", 60.0),
        start_timeout=seconds(told, "start_timeout", 600.0),
        request_timeout=seconds(spec.networking, "request_timeout", 60.0),
        max_request_bytes=spec.networking.max_request_bytes or 2**26,
        max_concurrency=spec.autoscaling.max_replica_concurrency or 1024,
        processes=predictor.processes_per_replica or 1,
        threads=setup["threads"],
        log_level=setup["log_level"],
        env=dict(predictor.env),
        setup=setup,
        predictor_type=setup["predictor_type"],
        task=word(pb.PredictorTask, predictor.task, "PREDICTOR_TASK_"),
        batching=config.Batching(batching.max_batch_size, seconds(batching, "batch_interval", 0.0))
        if setup["batching"]
        else None,
        protobuf_path=predictor.protobuf_path,
        worker=worker(predictor.worker, spec.compute.gpus),
        models=setup["models"],
        neuron_cores=cores,
        memory_bytes=spec.compute.memory_bytes,
        gpus=spec.compute.gpus,
        has_devices=spec.compute.gpus != 0 or cores[1] != 0,
        alias=spec.networking.endpoint.rstrip("/") if told.standalone else "",
    )


def threads(predictor: pb.Predictor) -> int:
    told = predictor.threads_per_process or 1
    return 1 if told == predictor.server_side_batching.max_batch_size else told


def worker(told: pb.WorkerPolicy, gpus: int) -> config.WorkerPolicy:
    start = word(pb.WorkerStart, told.start, "WORKER_START_")
    return config.WorkerPolicy(
        start=start if start in ("spawn", "fork-loaded") else "spawn" if gpus else "fork-server",
        preload=tuple(told.preload),
        memory_bytes=told.memory_bytes,
        hang_timeout=seconds(told, "hang_timeout", 0.0),
        max_requests=told.max_requests,
        kill_on_cancel=told.on_cancel == pb.CANCEL_POLICY_KILL,
        cancel_grace=seconds(told, "cancel_grace", 5.0),
    )


def word(enum: Any, value: int, prefix: str) -> str:
    """As in the settings: lower case, hyphens, and nothing for what is not set."""
    name: str = enum.Name(value).removeprefix(prefix)
    return "" if name == "UNSPECIFIED" else name.lower().replace("_", "-")


def tensor(told: pb.Tensor) -> dict[str, Any]:
    return {"name": told.name, "datatype": told.datatype, "shape": list(told.shape)}


def seconds(message: Any, name: str, default: float) -> float:
    span: datetime.timedelta = getattr(message, name).ToTimedelta()
    return span.total_seconds() if message.HasField(name) else default


class Filler:
    """Sets fields at random, those below them too."""

    def __init__(self, seed: int, share: float) -> None:
        self._rng = random.Random(seed)
        self._share = share

    def fill(self, message: Any) -> Any:
        for field in message.DESCRIPTOR.fields:
            if self._rng.random() < self._share:
                self.set(message, field)
        return message

    def set(self, message: Any, field: Any) -> None:
        rng, target = self._rng, getattr(message, field.name)
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            target.update({f"K{n}": self._text() for n in range(rng.randrange(1, 4))})
        elif kind is not None and kind.full_name == "google.protobuf.Struct":
            target.update(self._object(2))
        elif kind is not None and kind.full_name == "google.protobuf.Duration":
            target.FromMicroseconds(rng.choice([0, 1, 1500, 60 * 10**6, rng.randrange(10**12)]))
        elif field.is_repeated:
            for _ in range(rng.randrange(1, 4)):
                self.fill(target.add()) if kind is not None else target.append(self._value(field))
        elif kind is not None:
            target.SetInParent()
            self.fill(target)
        else:
            setattr(message, field.name, self._value(field))

    def _value(self, field: Any) -> Any:
        rng = self._rng
        if field.enum_type is not None:
            return rng.choice(field.enum_type.values).number
        small = rng.choice([1, 4, rng.randrange(-(2**31), 2**31)])
        return {
            descriptor.FieldDescriptor.CPPTYPE_STRING: self._text(),
            descriptor.FieldDescriptor.CPPTYPE_BOOL: True,
            descriptor.FieldDescriptor.CPPTYPE_INT32: small,
            descriptor.FieldDescriptor.CPPTYPE_INT64: rng.choice([small, rng.randrange(-(2**63), 2**63)]),
            descriptor.FieldDescriptor.CPPTYPE_DOUBLE: rng.random(),
        }[field.cpp_type]

    def _text(self) -> str:
        return "".join(self._rng.choices('ab/. :"\\\n\u00fc\U0001f600_-', k=self._rng.randrange(1, 9)))

    def _object(self, depth: int) -> dict[str, Any]:
        return {self._text(): self._any(depth) for _ in range(self._rng.randrange(4))}

    def _any(self, depth: int) -> Any:
        rng = self._rng
        if depth and rng.random() < 0.4:
            return self._object(depth - 1) if rng.random() < 0.5 else [self._any(depth - 1) for _ in range(3)]
        number: Any = rng.choice([0, -3, 5.0, 2**53, 1e16, 1e300, -0.0, 1e-9, rng.uniform(-1e6, 1e6)])
        return rng.choice([None, True, False, self._text(), number])


def single() -> list[tuple[str, ReplicaConfig]]:
    """Each field alone, at every depth, and each value of each enum."""
    found = []
    spec = pb.ApiSpec.DESCRIPTOR
    paths: list[list[str]] = [[], ["spec"], *(["spec", f.name] for f in spec.fields if f.message_type is not None)]
    paths += [["spec", "predictor", name] for name in ("server_side_batching", "worker")]
    for path in paths:
        kind: Any = ReplicaConfig.DESCRIPTOR
        for name in path:
            kind = kind.fields_by_name[name].message_type
        for field in kind.fields:
            values = [value.number for value in field.enum_type.values] if field.enum_type is not None else [None]
            for value, seed in itertools.product(values, range(3 if values == [None] else 1)):
                whole = target = ReplicaConfig()
                for name in path:
                    target = getattr(target, name)
                    target.SetInParent()
                if value is not None:
                    setattr(target, field.name, value)
                else:
                    Filler(seed, 1.0).set(target, field)
                found.append((".".join([*path, field.name]), whole))
    return found


def test_every_field_alone_is_read_as_protobuf_reads_it(tmp_path: pathlib.Path) -> None:
    told = single()
    assert len({name for name, _ in told}) > 75
    for name, message in told:
        assert read(tmp_path, json_format.MessageToJson(message)) == by_protobuf(message), name


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_all_of_them_together_too(tmp_path: pathlib.Path, share: float) -> None:
    for seed in range(60):
        message = Filler(seed, share).fill(ReplicaConfig())
        assert read(tmp_path, json_format.MessageToJson(message)) == by_protobuf(message), seed


def test_what_is_unknown_is_passed_over(tmp_path: pathlib.Path) -> None:
    text = '{"api": "a", "newer": {"a": 1}, "spec": {"predictor": {"type": "PREDICTOR_TYPE_NEWER", "newer": [1]}}}'
    assert (found := read(tmp_path, text)).api == "a" and found.predictor_type == "python"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ("[]", "the document must be an object, and not []"),
        ('{"httpAddress": 7}', "httpAddress must be text, and not 7"),
        ('{"drainTimeout": "soon"}', "drainTimeout must be a duration such as 1.5s, and not 'soon'"),
        ('{"drainTimeout": 60}', "drainTimeout must be text, and not 60"),
        ('{"modelCacheBytes": "7x"}', "modelCacheBytes must be a whole number, and not '7x'"),
        ('{"neuronCoreCount": 1.5}', "neuronCoreCount must be a whole number, and not 1.5"),
        ('{"neuronCoreCount": true}', "neuronCoreCount must be a whole number, and not True"),
        ('{"standalone": "yes"}', "standalone must be true or false, and not 'yes'"),
        ('{"spec": []}', "spec must be an object, and not []"),
        ('{"spec": {"predictor": {"type": 4}}}', "spec.predictor.type must be text, and not 4"),
        ('{"spec": {"predictor": {"env": {"A": 1}}}}', "spec.predictor.env.A must be text, and not 1"),
        ('{"spec": {"predictor": {"worker": {"preload": "a"}}}}', "spec.predictor.worker.preload must be a list"),
        ('{"spec": {"predictor": {"inputs": [{}, {"name": 1}]}}}', "spec.predictor.inputs[1].name must be text"),
    ],
)
def test_a_field_of_another_type_is_named(tmp_path: pathlib.Path, text: str, told: str) -> None:
    with pytest.raises(proto_json.ParseError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value) and str(tmp_path / "replica.json") in str(caught.value)


def test_defaults_and_whole_numbers(tmp_path: pathlib.Path) -> None:
    settings = read(tmp_path, '{"spec": {"predictor": {"config": {"n": 5.0, "f": 0.5, "big": 1e300, "none": null}}}}')
    assert settings.setup["config"] == {"n": 5, "f": 0.5, "big": 1e300, "none": None}
    assert type(settings.setup["config"]["n"]) is int
    assert (settings.request_timeout, settings.max_request_bytes, settings.max_concurrency) == (60.0, 2**26, 1024)


@pytest.mark.parametrize(("threads", "batches"), [(0, 1), (1, 1), (8, 1), (4, 4), (16, 16)])
def test_as_many_threads_as_a_batch_has_calls_run_one_batch(threads: int, batches: int) -> None:
    predictor = {"threadsPerProcess": threads, "serverSideBatching": {"maxBatchSize": 8}}
    settings = config.convert(proto_json.Message({"spec": {"predictor": predictor}}))
    assert settings.threads == settings.setup["threads"] == batches


@pytest.mark.parametrize(
    ("standalone", "endpoint", "alias"), [(True, "/team/iris/", "/team/iris"), (True, "/", ""), (False, "/iris", "")]
)
def test_a_path_of_the_gateway_is_taken_only_where_there_is_none(standalone: bool, endpoint: str, alias: str) -> None:
    told = {"standalone": standalone, "spec": {"networking": {"endpoint": endpoint}}}
    assert config.convert(proto_json.Message(told)).alias == alias


@pytest.mark.parametrize(
    ("given", "expected"),
    [(["--config", "a"], ("a", 0)), (["--parent", "7", "--config", "a b"], ("a b", 7))],
)
def test_arguments(given: list[str], expected: tuple[str, int]) -> None:
    assert __main__.arguments(given) == expected


@pytest.mark.parametrize("given", [[], ["--help"], ["--config"], ["--config", "a", "b"], ["--config", "a", "-x", "b"]])
def test_other_arguments_are_answered_with_the_usage(given: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"^usage: python -m runtime --config FILE"):
        __main__.arguments(given)
