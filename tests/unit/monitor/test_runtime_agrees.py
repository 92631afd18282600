"""What the runtime's own code reports is what the monitor accepts: the two share a contract, not a line of code."""

import pytest

from runtime import metrics
from services.monitor import convert

API = "namespaces/default/apis/iris"


@pytest.mark.parametrize("prediction", [b"n1.5", b"n-2", b"n0", b"n1.7e308", b"n5e-324", b"ccat", b"c", b"?"])
def test_reports_of_the_runtime_are_accepted(prediction: bytes) -> None:
    measured = metrics.Metrics()
    for _ in range(3):
        measured.ended(200, 0.012, 0.0)
        measured.predicted(prediction)
    message = measured.take(1_000_000_000.0, 1, 0)
    message.api, message.revision, message.replica, message.sequence = API, "r1-aaaa", "iris-r1-aaaa-bcdef", 1
    tally = convert.report(message).tally
    counted = sum(tally.classes.values()) + tally.values.count + tally.unreadable
    assert (counted, tally.latency.count, tally.requests) == (3, 3, {200: 3})
    assert tally.latency.quantile(0.5) == pytest.approx(0.012, rel=0.01)
