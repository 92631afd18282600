"""A dry run tells what the planner would do, in order, and ends."""

import dataclasses

from services.apiserver import preview
from tests.fakes import records


def test_the_first_deployment() -> None:
    lines = preview.preview(None, records.api(desired=1), True, [])
    assert lines == [
        "route /iris: 100% to r1 (0 replicas), requests wait for a replica",
        "start replica (new 1) of r1",
        "route /iris: 100% to r1 (1 replicas)",
    ]


def test_a_new_revision_takes_over() -> None:
    current = records.serving()
    wanted = dataclasses.replace(current, target_revision="r2")
    assert preview.preview(current, wanted, True, [records.replica("a")]) == [
        "start replica (new 1) of r2",
        "route /iris: 50% to r1 (1 replicas), 50% to r2 (1 replicas)",
        "route /iris: 100% to r2 (1 replicas)",
        "stop replica a of r1, draining for at most 60 s",
    ]


def test_scaling_down_without_a_new_revision() -> None:
    current = records.serving(desired=2)
    wanted = dataclasses.replace(current, desired_replicas=1)
    lines = preview.preview(current, wanted, False, [records.replica("a"), records.replica("b", age=5)])
    assert lines == ["route /iris: 100% to r1 (1 replicas)", "stop replica b of r1, draining for at most 60 s"]


def test_nothing_to_do() -> None:
    assert preview.preview(records.serving(), records.serving(), False, [records.replica("a")]) == []


def test_a_revision_without_a_name_yet_and_many_replicas() -> None:
    current = records.serving(desired=150, max_replicas=150)
    lines = preview.preview(current, current, True, [records.replica(f"a{n}") for n in range(150)])
    assert lines[0].endswith("of (the new revision)") or "(the new revision)" in "".join(lines)
    assert len(lines) == preview.LONGEST + 1 and lines[-1].startswith("and ")
