"""pb <-> words: a spec that goes out and comes back is the same, and every enum value has its counterpart."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.apiserver.v1 import api_pb2, event_pb2, revision_pb2, spec_pb2
from cortex.type.v1 import condition_pb2
from services.apiserver import convert, convert_status, defaults, model, resource_names
from services.apiserver import spec as specs

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
SECONDS = st.integers(0, 7 * 86_400 * 10**9).map(lambda nanos: nanos / 1e9)
WHOLE = st.integers(1, 2**31 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**52), 2**52) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MAPS = st.dictionaries(TEXT, JSON, max_size=3)


def parts(kind: type, **given: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, **given)


TENSORS = st.lists(
    parts(specs.Tensor, name=TEXT, datatype=TEXT, shape=st.lists(st.integers(-1, 2**40), max_size=3).map(tuple)),
    max_size=2,
).map(tuple)
SPECS = st.builds(
    specs.ApiSpec,
    predictor=parts(
        specs.Predictor,
        path=st.just("a/b.py"),
        class_name=TEXT,
        config=MAPS,
        models=MAPS,
        python_path=st.sampled_from(["", "src"]),
        env=st.dictionaries(TEXT, TEXT, max_size=2),
        processes_per_replica=WHOLE,
        threads_per_process=WHOLE,
        log_level=st.sampled_from(["debug", "info"]),
        pip=st.sampled_from(["", "reqs.txt"]),
        conda=st.sampled_from(["", "c.txt"]),
        shell=st.sampled_from(["", "d.sh"]),
        type=st.sampled_from(["PYTHON", "TENSORFLOW", "ONNX", "TRITON"]),
        task=st.sampled_from(["", "TEXT_GENERATION", "EMBEDDING"]),
        protobuf_path=st.sampled_from(["", "a.proto"]),
        server_side_batching=st.none() | parts(specs.ServerSideBatching, max_batch_size=WHOLE, batch_interval=SECONDS),
        inputs=TENSORS,
        outputs=TENSORS,
        worker=parts(
            specs.WorkerPolicy,
            start=st.sampled_from(["SPAWN", "FORK_SERVER", "FORK_LOADED"]),
            preload=st.lists(TEXT, max_size=2).map(tuple),
            memory_bytes=WHOLE,
            hang_timeout=SECONDS,
            max_requests=st.integers(0, 2**31 - 1),
            on_cancel=st.sampled_from(["WAIT", "KILL"]),
            cancel_grace=SECONDS,
        ),
        python_version=TEXT,
    ),
    networking=parts(
        specs.Networking,
        endpoint=st.just("/x"),
        request_timeout=SECONDS,
        retries=st.booleans(),
        max_request_bytes=WHOLE,
        activation_timeout=SECONDS,
    ),
    bundle_digest=TEXT,
    compute=parts(
        specs.Compute,
        cpu_millis=WHOLE,
        memory_bytes=WHOLE,
        gpus=WHOLE,
        neuron_devices=WHOLE,
        node_groups=st.lists(TEXT, max_size=2).map(tuple),
    ),
    autoscaling=parts(
        specs.Autoscaling,
        min_replicas=st.integers(0, 5),
        max_replicas=WHOLE,
        init_replicas=st.integers(0, 5),
        target_in_flight=st.floats(0.1, 100),
        max_replica_concurrency=WHOLE,
        window=SECONDS,
        downscale_stabilization_period=SECONDS,
        upscale_stabilization_period=SECONDS,
        max_downscale_factor=st.floats(0, 1),
        max_upscale_factor=st.floats(0, 9),
        downscale_tolerance=st.floats(0, 1),
        upscale_tolerance=st.floats(0, 9),
    ),
    update_strategy=parts(
        specs.UpdateStrategy,
        max_surge=st.sampled_from(["1", "25%"]),
        max_unavailable=st.sampled_from(["0", "25%"]),
        progress_deadline=SECONDS,
        drain_timeout=SECONDS,
    ),
    monitoring=st.none() | parts(specs.Monitoring, model_type=st.sampled_from(specs.ModelType), key=TEXT),
    source=TEXT,
    not_in_effect=st.lists(TEXT, max_size=2).map(tuple),
)


@settings(max_examples=60)
@given(spec=SPECS)
def test_a_spec_comes_back_as_it_went(spec: specs.ApiSpec) -> None:
    wire = spec_pb2.ApiSpec.FromString(convert.spec_to_pb(spec).SerializeToString())
    again = defaults.resolve(convert.wish(wire), namespace="default", api_id="x", files=())
    assert again == spec


def test_no_field_of_the_contract_is_forgotten() -> None:
    """A field added to the proto fails here until the domain knows it."""
    pairs: dict[Any, Any] = {
        spec_pb2.Compute: specs.Compute,
        spec_pb2.Autoscaling: specs.Autoscaling,
        spec_pb2.UpdateStrategy: specs.UpdateStrategy,
        spec_pb2.Monitoring: specs.Monitoring,
        spec_pb2.ApiSpec: specs.ApiSpec,
        spec_pb2.ServerSideBatching: specs.ServerSideBatching,
        spec_pb2.Tensor: specs.Tensor,
        spec_pb2.WorkerPolicy: specs.WorkerPolicy,
    }
    renamed = {"retry_policy": "retries"}
    for message, kind in {**pairs, spec_pb2.Predictor: specs.Predictor, spec_pb2.Networking: specs.Networking}.items():
        wire = {renamed.get(name, name) for name in message.DESCRIPTOR.fields_by_name}
        if "dependencies" in wire:
            wire = wire - {"dependencies"} | set(spec_pb2.Dependencies.DESCRIPTOR.fields_by_name)
        assert wire == {field.name for field in dataclasses.fields(kind)}, kind


@pytest.mark.parametrize(
    ("words", "wire", "prefix"),
    [
        (model.Reason, condition_pb2.ConditionReason, "CONDITION_REASON_"),
        (model.Truth, condition_pb2.ConditionStatus, "CONDITION_STATUS_"),
        (model.ReplicaState, api_pb2.ReplicaState, "REPLICA_STATE_"),
        (model.RolloutState, api_pb2.RolloutState, "ROLLOUT_STATE_"),
        (model.RevisionState, revision_pb2.RevisionState, "REVISION_STATE_"),
        (model.RevisionCause, revision_pb2.RevisionCause, "REVISION_CAUSE_"),
        (model.Severity, event_pb2.EventSeverity, "EVENT_SEVERITY_"),
        (specs.ModelType, spec_pb2.ModelType, "MODEL_TYPE_"),
    ],
)
def test_enums_agree(words: Any, wire: Any, prefix: str) -> None:
    ours = {f"{prefix}{member.value}" for member in words} | {f"{prefix}UNSPECIFIED"}
    assert ours == set(wire.keys())


def test_a_status_goes_out_whole() -> None:
    name = "namespaces/n/apis/x"
    failure = model.ReplicaFailure(model.Reason.CRASH_LOOP, "boom", 3.5, -9)
    replica = model.Replica(
        "x-1", name, "r2-b", model.ReplicaState.READY, 1.0, 2.25, 42, 3, failure, "fine", "h:1", "h:2"
    )
    rollout = model.Rollout(model.RolloutState.IN_PROGRESS, "r1-a", "r2-b", 1.0, 1.0)
    spec = specs.ApiSpec(specs.Predictor("p.py"), specs.Networking("/x"), "d", not_in_effect=("a: b",))
    api = model.Api(name, "u", 3, 7, {"l": "v"}, spec, 1.0, 2.0, "r2-b", "r1-a", 4, rollout)
    condition = model.Condition("Ready", model.Truth.FALSE, model.Reason.STARTING, "soon", 1.5)
    status = model.Status(3, (condition,), False, "http://u", {"r1-a": 60, "r2-b": 40}, 1, 2, 1, (replica,), 9.0)
    wire = convert_status.api_to_pb(api, status, heard=9.0, now=10.0)
    shown = wire.status
    assert (shown.serving_revision, shown.target_revision) == (f"{name}/revisions/r1-a", f"{name}/revisions/r2-b")
    assert {t.revision[-4:]: t.percent for t in shown.traffic} == {"r1-a": 60, "r2-b": 40}
    assert (shown.desired_replicas, shown.ready_replicas, shown.updated_replicas, shown.routable_replicas) == (
        4,
        1,
        2,
        1,
    )
    assert shown.reconciling, "a rollout in progress is work whatever the last pass said"
    assert (shown.rollout.from_revision[-4:], shown.rollout.HasField("end_time")) == ("r1-a", False)
    one = shown.replicas[0]
    assert (one.revision[-4:], one.pid, one.restart_count, one.last_failure.exit_code) == ("r2-b", 42, 3, -9)
    assert (one.ready_time.nanos, one.http_address, one.grpc_address) == (250_000_000, "h:1", "h:2")
    assert (
        list(shown.not_in_effect) == ["a: b"] and shown.conditions[0].reason == condition_pb2.CONDITION_REASON_STARTING
    )


def test_names_parse_as_they_were_made() -> None:
    name = resource_names.api("team", "iris")
    assert resource_names.parse_api(name) == ("team", "iris")
    assert resource_names.parse_revision(resource_names.revision(name, "r1-a")) == (name, "r1-a")
    assert resource_names.parse_event(resource_names.event(name, 7)) == 7
    assert resource_names.parse_bundle(resource_names.bundle("n", "a" * 64)) == ("n", "a" * 64)
    assert resource_names.revision(name, "") == "" and resource_names.id_of(name) == "iris"
    assert resource_names.parse_scope("namespaces/-") is None
