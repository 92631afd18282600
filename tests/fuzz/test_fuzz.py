"""A short campaign from one seed. Times are printed and judged in `make fuzz` only: here the machine is shared."""

import pathlib

from tests.conformance import oip_model
from tests.fuzz import campaign
from tests.runtime import replica

REQUESTS = 2000


def test_spoiled_requests_harm_nobody(tmp_path: pathlib.Path) -> None:
    with replica.running(tmp_path, oip_model.TEXT, config={"grpcAddress": "free"}) as served:
        workers = served.worker_pids
        report = campaign.Campaign(served, 20261126).run(lambda sent: sent < REQUESTS)
        print(campaign.told(report))
        assert served.process.poll() is None and served.worker_pids == workers
        errors = [line for line in served.lines() if line["level"] in ("error", "critical")]
    assert report.bad == []
    assert report.failed == 0
    assert report.memory_after - report.memory_before < 24 * 2**20
    fine = report.statuses["200"] + report.statuses["OK"]
    assert report.statuses["400"] > REQUESTS / 5 and fine > 20  # neither all rot nor all fine
    assert errors == [], "a caller's mistake is no error of the predictor's, so it has no traceback in the log"
