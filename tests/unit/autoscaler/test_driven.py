"""A driven load, second by second, against files: a change of the rule shows as a diff that somebody has to read.

`CORTEX_UPDATE_GOLDEN=1 pytest tests/unit/autoscaler/test_driven.py` writes the files anew.
"""

import os
import pathlib
from collections.abc import Callable

import pytest

from services.autoscaler import model
from tests.unit.autoscaler.driving import Drive

GOLDEN = pathlib.Path(__file__).parents[2] / "golden" / "decisions"
FAST = model.Scaling(
    min_replicas=0,
    max_replicas=10,
    target_in_flight=2.0,
    window=10.0,
    upscale_stabilization_period=0.0,
    downscale_stabilization_period=30.0,
)


def one_five_one() -> Drive:
    """Defaults: five minutes of nothing much, ten of five in flight, then one again."""
    drive = Drive(model.Scaling())
    drive.run(300, 1.0)
    drive.run(600, 5.0)
    drive.run(1400, 1.0)
    assert max(number for _, number in drive.changes()) == 5 and drive.replicas == 1
    return drive


def from_zero_and_back() -> Drive:
    """Ten requests find nothing; the replica takes five seconds; a burst of half a minute; then silence."""
    drive = Drive(FAST, replicas=0)
    drive.run(20, 0.0)
    for _ in range(6):
        drive.second(0.0, held=10, ready=0)
    drive.run(30, lambda now: 14.0)
    drive.run(300, 0.0)
    assert drive.replicas == 0
    return drive


def a_silent_gateway_and_a_restart() -> Drive:
    """Reports stop for twenty seconds at the height of the load, come back, then the autoscaler restarts."""
    drive = Drive(FAST, replicas=1)
    drive.run(40, 8.0)
    for _ in range(20):
        drive.blind_second()
    drive.run(20, 8.0)
    drive.restart()
    drive.run(29, 2.0)
    assert drive.replicas == 4
    drive.run(100, 2.0)
    assert drive.replicas == 1
    return drive


@pytest.mark.parametrize("story", [one_five_one, from_zero_and_back, a_silent_gateway_and_a_restart])
def test_the_story_is_as_written_down(story: Callable[[], Drive]) -> None:
    told = "\n".join(story().transcript()) + "\n"
    file = GOLDEN / f"{story.__name__}.txt"
    if os.environ.get("CORTEX_UPDATE_GOLDEN"):
        file.write_text(told)
    assert told == file.read_text()
