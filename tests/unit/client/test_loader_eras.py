"""The ancestor's documents of each era, shape by shape, and what they become."""

import pathlib
from typing import Any

import pytest
from google.protobuf import json_format

from cortex.apiserver.v1 import spec_pb2
from cortex_client.project import fields, loader
from cortex_client.project.schema import NESTED, Effect

HEAD = "- name: iris\n  predictor:\n    type: python\n    path: predictor.py\n"


def one(document: str) -> spec_pb2.ApiSpec:
    (api,) = loader.parse(document, "cortex.yaml")
    return api.spec


def models(spec: spec_pb2.ApiSpec) -> Any:
    return json_format.MessageToDict(spec.predictor.models)


def test_0_12_an_api_without_its_deployment() -> None:
    spec = one(
        "- kind: api\n  name: iris\n  predictor: {type: python, path: p.py}\n  tracker: {model_type: classification}\n"
        "  compute: {min_replicas: 2, max_replicas: 3, init_replicas: 2, target_cpu_utilization: 80, max_surge: 1}\n"
    )
    assert (spec.autoscaling.min_replicas, spec.autoscaling.max_replicas) == (2, 3)
    assert (spec.autoscaling.init_replicas, spec.update_strategy.max_surge) == (2, "1")
    assert spec.not_in_effect == [
        "compute.target_cpu_utilization: replicas follow the requests in flight; see autoscaling.target_in_flight"
    ]


def test_0_14_the_first_predictor_shape() -> None:
    spec = one(
        HEAD + "    config: {bucket: cortex-examples, key: sklearn/model.pkl}\n    python_path: src\n    env: {A: b}\n"
        "    model: s3://b/m\n    signature_key: predict\n"
        "  endpoint: iris/\n  tracker: {model_type: classification, key: class}\n  compute: {cpu: 0.2, mem: 100M}\n"
        "  autoscaling: {workers_per_replica: 2, threads_per_worker: 4, target_replica_concurrency: 8,\n"
        "    max_replica_concurrency: 16}\n"
    )
    assert dict(spec.predictor.config) == {"bucket": "cortex-examples", "key": "sklearn/model.pkl"}
    assert spec.predictor.python_path == "src"
    assert dict(spec.predictor.env) == {"A": "b"}
    assert spec.networking.endpoint == "/iris"
    assert (spec.monitoring.model_type, spec.monitoring.key) == (spec_pb2.MODEL_TYPE_CLASSIFICATION, "class")
    assert (spec.compute.cpu_millis, spec.compute.memory_bytes) == (200, 10**8)
    assert (spec.predictor.processes_per_replica, spec.predictor.threads_per_process) == (2, 4)
    assert (spec.autoscaling.target_in_flight, spec.autoscaling.max_replica_concurrency) == (8.0, 16)
    assert dict(spec.predictor.models) == {"path": "s3://b/m", "signature_key": "predict"}
    assert not spec.not_in_effect


def test_0_16_the_first_images_and_the_local_port() -> None:
    spec = one(HEAD + "    image: cortexlabs/x\n    tensorflow_serving_image: y\n  local_port: 8888\n")
    assert [notice.partition(":")[0] for notice in spec.not_in_effect] == [
        "predictor.image", "predictor.tensorflow_serving_image", "local_port",
    ]  # fmt: skip


def test_0_17_monitoring_takes_over_from_tracker() -> None:
    assert (
        one(HEAD + "  monitoring: {model_type: regression}\n").monitoring.model_type == spec_pb2.MODEL_TYPE_REGRESSION
    )


def test_0_18_networking_processes_and_model_lists() -> None:
    spec = one(
        HEAD + "    processes_per_replica: 3\n    threads_per_process: 2\n"
        "    models: [{name: a, model_path: s3://a, signature_key: s}]\n"
        "  networking: {endpoint: /e, local_port: 8888, api_gateway: none}\n  compute: {inf: 1}\n"
    )
    assert (spec.predictor.processes_per_replica, spec.predictor.threads_per_process) == (3, 2)
    assert spec.networking.endpoint == "/e"
    assert spec.compute.neuron_devices == 1
    assert models(spec) == {"paths": [{"name": "a", "path": "s3://a", "signature_key": "s"}]}
    assert [notice.partition(":")[0] for notice in spec.not_in_effect] == [
        "networking.local_port",
        "networking.api_gateway",
    ]


@pytest.mark.parametrize("kind", ["SyncAPI", "RealtimeAPI", "api", "API"])
def test_0_19_names_of_the_kind(kind: str) -> None:
    assert one(HEAD + f"  kind: {kind}\n").kind == spec_pb2.API_KIND_REALTIME


def test_0_19_server_side_batching() -> None:
    spec = one(HEAD + "    server_side_batching: {max_batch_size: 8, batch_interval: 0.5s}\n")
    batching = spec.predictor.server_side_batching
    assert (batching.max_batch_size, batching.batch_interval.ToMilliseconds()) == (8, 500)
    assert not spec.not_in_effect


@pytest.mark.parametrize("kind", ["tensorflow", "onnx"])
def test_0_19_framework_types(kind: str) -> None:
    spec = one(f"- name: iris\n  predictor: {{type: {kind}, path: p.py, model_path: s3://b/m}}\n")
    assert spec.predictor.type == spec_pb2.PredictorType.Value(f"PREDICTOR_TYPE_{kind.upper()}")
    assert not spec.not_in_effect


def test_0_22_models_become_a_mapping() -> None:
    spec = one(
        HEAD + "    models:\n      paths: [{name: a, model_path: s3://a}, {name: b, path: s3://b, signature_key: s}]\n"
        "      dir: s3://d\n      path: s3://p\n      signature_key: k\n      cache_size: 1\n      disk_cache_size: 2\n"
    )
    assert models(spec)["dir"] == "s3://d"
    assert models(spec)["paths"] == [
        {"name": "a", "path": "s3://a"},
        {"name": "b", "path": "s3://b", "signature_key": "s"},
    ]
    assert not spec.not_in_effect


def test_0_22_a_single_model_path() -> None:
    assert dict(one(HEAD + "    model_path: m\n").predictor.models) == {"path": "m"}


def test_0_25_multi_model_reloading() -> None:
    spec = one(HEAD + "    multi_model_reloading: {path: m, cache_size: 2, disk_cache_size: 3}\n")
    assert models(spec) == {"path": "m", "cache_size": 2, "disk_cache_size": 3}


def test_0_26_log_level_and_shared_memory() -> None:
    spec = one(HEAD + "    log_level: debug\n    shm_size: 64Mi\n")
    assert spec.predictor.log_level == "debug"
    assert spec.not_in_effect == ["predictor.shm_size: replicas share the machine's /dev/shm"]


def test_0_30_dependencies() -> None:
    spec = one(HEAD + "    dependencies: {pip: reqs.txt, conda: c.txt, shell: d.sh}\n")
    dependencies = spec.predictor.dependencies
    assert (dependencies.pip, dependencies.conda, dependencies.shell) == ("reqs.txt", "c.txt", "d.sh")
    assert not spec.not_in_effect


def test_0_34_handler_grpc_and_node_groups() -> None:
    spec = one(
        "- name: iris\n  kind: RealtimeAPI\n  handler: {type: python, path: h.py, protobuf_path: a.proto}\n"
        "  compute: {gpu: 1, node_groups: [gpu, spot]}\n"
    )
    assert (spec.predictor.path, spec.predictor.protobuf_path, spec.compute.gpus) == ("h.py", "a.proto", 1)
    assert list(spec.compute.node_groups) == ["gpu", "spot"]
    assert spec.not_in_effect == [
        f"compute.gpu: {fields.TABLE.children('compute')['gpu'].reason}",
        "compute.node_groups: there is one node, the machine of `cortex up`, and it runs every replica",
    ]


def test_no_gpu_is_what_every_replica_has() -> None:
    assert not one(HEAD + "  compute: {gpu: 0, inf: 0}\n").not_in_effect


def test_0_35_every_autoscaling_and_update_field() -> None:
    spec = one(
        HEAD + "  autoscaling:\n    min_replicas: 0\n    max_replicas: 9\n    init_replicas: 0\n    window: 1m30s\n"
        "    downscale_stabilization_period: 5m\n    upscale_stabilization_period: 0s\n    max_downscale_factor: 0\n"
        "    max_upscale_factor: 2\n    downscale_tolerance: 0.1\n    upscale_tolerance: 0\n"
        "  update_strategy: {max_surge: 0, max_unavailable: 50%}\n"
    )
    scaling = spec.autoscaling
    assert scaling.HasField("min_replicas")
    assert scaling.HasField("max_downscale_factor")
    assert scaling.HasField("upscale_stabilization_period")
    assert (scaling.min_replicas, scaling.max_replicas, scaling.window.seconds) == (0, 9, 90)
    assert (scaling.downscale_stabilization_period.seconds, scaling.max_upscale_factor) == (300, 2.0)
    assert (scaling.downscale_tolerance, scaling.upscale_tolerance) == (0.1, 0.0)
    assert (spec.update_strategy.max_surge, spec.update_strategy.max_unavailable) == ("0", "50%")


def test_our_own_additions() -> None:
    spec = one(
        HEAD + "    class_name: Mine\n    python_version: 3.10\n"
        "  networking: {request_timeout: 0s, max_request_bytes: 1Mi, activation_timeout: 5s, retries: false}\n"
        "  autoscaling: {target_in_flight: 2.5}\n  update_strategy: {progress_deadline: 30s, drain_timeout: 1s}\n"
    )
    assert (spec.predictor.class_name, spec.predictor.python_version) == ("Mine", "3.10")
    assert spec.networking.HasField("request_timeout")
    assert spec.networking.max_request_bytes == 2**20
    assert spec.networking.activation_timeout.seconds == 5
    assert spec.networking.retry_policy == spec_pb2.RETRY_POLICY_DISABLED
    assert spec.autoscaling.target_in_flight == 2.5
    assert (spec.update_strategy.progress_deadline.seconds, spec.update_strategy.drain_timeout.seconds) == (30, 1)


def test_tensors_tasks_and_workers() -> None:
    predictor = one(
        HEAD + "    task: text-generation\n"
        "    inputs: [{name: x, datatype: FP32, shape: [-1, 4]}, {name: y, datatype: BYTES}]\n"
        "    outputs: [{name: z, datatype: INT64, shape: [1]}]\n"
        "    worker: {start: fork-loaded, preload: [numpy], memory: 2Gi, hang_timeout: 30s, max_requests: 100,\n"
        "      on_cancel: kill, cancel_grace: 0s}\n"
    ).predictor
    assert predictor.task == spec_pb2.PREDICTOR_TASK_TEXT_GENERATION
    assert [(t.name, t.datatype, list(t.shape)) for t in predictor.inputs] == [
        ("x", "FP32", [-1, 4]),
        ("y", "BYTES", []),
    ]
    assert [(t.name, t.datatype, list(t.shape)) for t in predictor.outputs] == [("z", "INT64", [1])]
    worker = predictor.worker
    assert (worker.start, worker.on_cancel) == (spec_pb2.WORKER_START_FORK_LOADED, spec_pb2.CANCEL_POLICY_KILL)
    assert (list(worker.preload), worker.memory_bytes, worker.max_requests) == (["numpy"], 2**31, 100)
    assert (worker.hang_timeout.seconds, worker.HasField("cancel_grace")) == (30, True)


def test_budgets_of_models_reach_the_platform_as_numbers() -> None:
    spec = one(HEAD + "    models: {dir: s3://b/m, memory_budget: 1Gi, disk_budget: 10G, poll_interval: 1m30s}\n")
    assert models(spec) == {"dir": "s3://b/m", "memory_budget": 2**30, "disk_budget": 10**10, "poll_interval": 90}


def test_a_triton_repository_needs_no_code() -> None:
    spec = one("- name: iris\n  predictor: {type: triton, models: {dir: repository}}\n")
    assert (spec.predictor.type, spec.predictor.path) == (spec_pb2.PREDICTOR_TYPE_TRITON, "")


def test_explicit_nulls_mean_absent() -> None:
    spec = one(HEAD + "    config:\n    env: null\n  compute:\n    mem: null\n")
    assert spec.compute.memory_bytes == 0
    assert not spec.HasField("compute")


def test_environment_values_keep_their_spelling() -> None:
    spec = one(HEAD + "    env: {WORKERS: 2, FLAG: true, VERSION: 3.10, NAME: yes}\n")
    assert dict(spec.predictor.env) == {"WORKERS": "2", "FLAG": "true", "VERSION": "3.10", "NAME": "yes"}


def test_anchors_and_merge_keys() -> None:
    shared = "- &shared\n  name: a\n  predictor: {type: python, path: p.py}\n  compute: &c {cpu: 1}\n"
    first, second = loader.parse(shared + "- <<: *shared\n  name: b\n  compute: {<<: *c, gpu: 1}\n", "cortex.yaml")
    assert (second.name, second.spec.predictor.path) == ("b", "p.py")
    assert (second.spec.compute.cpu_millis, second.spec.compute.gpus) == (first.spec.compute.cpu_millis, 1)


def test_each_api_of_a_list_keeps_its_own_words() -> None:
    document = "# shared head\n" + HEAD + "  # a comment\n  compute: {cpu: 1}\n\n" + HEAD.replace("iris", "two")
    first, second = loader.parse(document, "cortex.yaml")
    assert "# a comment\n  compute: {cpu: 1}" in first.spec.source
    assert "two" not in first.spec.source
    assert second.spec.source == HEAD.replace("iris", "two")


def test_a_mapping_keeps_the_whole_document() -> None:
    document = "# mine\nname: iris\npredictor: {type: python, path: p.py}\n"
    assert one(document).source == document


def test_a_document_too_long_to_keep_is_told() -> None:
    spec = one(HEAD + "  # " + "x" * 70_000 + "\n  compute: {cpu: 1}\n")
    assert spec.source == ""
    assert spec.not_in_effect == ["(document): longer than 64 KiB, so it is not kept with the revision"]


def test_a_program_describes_an_api_as_data(tmp_path: pathlib.Path) -> None:
    (tmp_path / "p.py").write_text("")
    document = {"name": "iris", "predictor": {"type": "python", "path": "p.py"}, "compute": {"cpu": "1"}}
    (api,) = loader.from_mappings([document], tmp_path)
    assert (api.name, api.spec.compute.cpu_millis) == ("iris", 1000)


def test_every_field_sets_something_or_says_why_not() -> None:
    for field in fields.TABLE.fields:
        if field.form in NESTED or field.target:
            continue
        above = [f for f in fields.TABLE.fields if field.path.startswith((f.path + ".", f.path + "[]."))]
        assert any(f.target or f.effect is not Effect.IN_EFFECT for f in [field, *above]), field.path
        assert field.effect is Effect.IN_EFFECT or field.reason, field.path
