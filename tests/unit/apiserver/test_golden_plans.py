"""Whole plans, as people read them. `CORTEX_UPDATE_GOLDEN=1 pytest` writes the files anew; read the diff."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import pytest

from services.apiserver import model, observation
from tests.fakes import records
from tests.fakes.observed import decide, disconnected, seen
from tests.fakes.records import replica

GOLDEN = pathlib.Path(__file__).parents[2] / "golden" / "plans"
NOW = records.NOW


def first_deployment() -> observation.Observation:
    return dataclasses.replace(seen(records.api(desired=2), routed=[]), published=None)


def surge() -> observation.Observation:
    return seen(records.rolling(desired=4), [replica(name) for name in "abcd"])


def cut_over() -> observation.Observation:
    api = records.rolling(since=NOW - 9)
    assert api.rollout is not None
    api = dataclasses.replace(api, rollout=dataclasses.replace(api.rollout, ready_high_water=1))
    return seen(api, [replica("a"), replica("b", "r2", age=6)], routed=["b"])


def import_error() -> observation.Observation:
    words = (
        "Traceback (most recent call last):\n  File predictor.py, line 1\nModuleNotFoundError: No module named 'iris'"
    )
    failure = records.failed(model.Reason.IMPORT_FAILED, message=words)
    broken = replica("b", "r2", age=2, state=model.ReplicaState.BACKING_OFF, last_failure=failure)
    return seen(records.rolling(since=NOW - 3), [replica("a"), broken])


def no_gateway() -> observation.Observation:
    return disconnected(seen(records.serving(desired=0), [replica("a")]), for_seconds=61)


def silent_node() -> observation.Observation:
    return seen(records.rolling(desired=0), [replica("a")], observe_time=NOW - 11)


def deletion() -> observation.Observation:
    gone = model.GatewayView(True, {}, frozenset(), {}, NOW)
    view = seen(records.serving(delete_time=NOW), [replica("a"), replica("b")])
    return dataclasses.replace(view, published=None, gateway=gone)


SCENES = (first_deployment, surge, cut_over, import_error, no_gateway, silent_node, deletion)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_plan_is_as_written(scene: Callable[[], observation.Observation]) -> None:
    plan = decide(scene())
    status = plan.status
    assert status is not None
    shown = [f"{c.type} {c.status.value} {c.reason.value}: {c.message}" for c in status.conditions]
    text = "\n".join(
        [
            *plan.lines(),
            "",
            *shown,
            "",
            f"requeue {plan.requeue if plan.requeue is None else round(plan.requeue, 2)}",
            "",
        ]
    )
    path = GOLDEN / f"{scene.__name__}.txt"
    if os.environ.get("CORTEX_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
