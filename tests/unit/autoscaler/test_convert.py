"""What the apiserver says, in our words: defaults, presence of zero, and what counts as unable to start."""

from typing import Any

import pytest
from google.protobuf import json_format

from cortex.apiserver.v1 import api_pb2
from services.autoscaler import convert, model

API = "namespaces/default/apis/iris"


def api(**fields: Any) -> model.Api:
    return convert.api(json_format.ParseDict({"name": API, **fields}, api_pb2.Api()))


def test_nothing_given_means_the_defaults_of_the_contract() -> None:
    found = api()
    assert found.scaling == model.Scaling()
    assert (found.activation_timeout, found.desired, found.failure, found.deleting) == (120.0, 0, None, False)


def test_zero_is_a_value_where_the_contract_says_so() -> None:
    found = api(
        spec={
            "autoscaling": {
                "min_replicas": 0,
                "window": "0.200s",
                "upscale_stabilization_period": "0s",
                "downscale_stabilization_period": "0s",
                "max_downscale_factor": 0,
                "downscale_tolerance": 0,
                "upscale_tolerance": 0,
            }
        }
    ).scaling
    assert (found.min_replicas, found.window) == (0, 1.0)
    assert (found.upscale_stabilization_period, found.downscale_stabilization_period) == (0.0, 0.0)
    assert (found.max_downscale_factor, found.downscale_tolerance, found.upscale_tolerance) == (0.0, 0.0, 0.0)


def test_the_target_is_by_default_what_a_replica_runs_at_a_time() -> None:
    predictor = {"processes_per_replica": 3, "threads_per_process": 4}
    assert api(spec={"predictor": predictor}).scaling.target_in_flight == 12.0
    given = {"predictor": predictor, "autoscaling": {"target_in_flight": 2.5}}
    assert api(spec=given).scaling.target_in_flight == 2.5


def condition(kind: str, status: str, reason: str) -> dict[str, str]:
    return {
        "type": kind,
        "status": f"CONDITION_STATUS_{status}",
        "reason": f"CONDITION_REASON_{reason}",
        "message": "ModuleNotFoundError: sklearn",
    }


ROLLOUT_FAILED = {"state": "ROLLOUT_STATE_FAILED", "to_revision": "r2", "reason": "CONDITION_REASON_IMPORT_FAILED"}


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        ({"conditions": [condition("RevisionReady", "FALSE", "IMPORT_FAILED")]}, ("IMPORT_FAILED", False)),
        ({"conditions": [condition("RevisionReady", "FALSE", "STARTING")]}, None),
        ({"conditions": [condition("RevisionReady", "UNKNOWN", "CRASH_LOOP")]}, None),
        ({"conditions": [condition("Ready", "FALSE", "CRASH_LOOP")]}, None),
        ({"rollout": ROLLOUT_FAILED}, ("IMPORT_FAILED", True)),
        ({"rollout": ROLLOUT_FAILED, "serving_revision": "r2"}, ("IMPORT_FAILED", True)),
        # An earlier revision can still serve.
        ({"rollout": ROLLOUT_FAILED, "serving_revision": "r1", "target_revision": "r1"}, None),
        (
            {
                "conditions": [condition("RevisionReady", "FALSE", "CRASH_LOOP")],
                "serving_revision": "r1",
                "target_revision": "r2",
            },
            None,
        ),
    ],
)
def test_what_counts_as_unable_to_start(status: dict[str, Any], failure: tuple[str, bool] | None) -> None:
    found = api(status=status).failure
    assert (None if found is None else (found.reason, found.final)) == failure


def test_unknown_replicas_are_unknown() -> None:
    assert api(status={"conditions": [condition("ReplicasAvailable", "FALSE", "STARTING")]}).replicas_known
    assert not api(
        status={"conditions": [condition("ReplicasAvailable", "UNKNOWN", "NODE_UNREACHABLE")]}
    ).replicas_known


def test_an_api_on_its_way_out() -> None:
    assert api(delete_time="2026-11-21T00:00:00Z").deleting
