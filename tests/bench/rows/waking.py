"""From zero through the whole platform: what the first request waits for beyond the start of the replica itself."""

import datetime
import http.client
import pathlib
import shutil
import tempfile
import time

from tests.bench.rounds import Finding
from tests.bench.rows.throughput import Options
from tests.bench.stage import PROJECTS
from tests.e2e import cluster as clusters


def wake(options: Options) -> list[Finding]:
    """Request to answer, less the time from the replica's creation to its being ready, as the platform notes them."""
    with clusters.running() as cluster:
        project = pathlib.Path(tempfile.mkdtemp(dir=cluster.home)) / "noop"
        shutil.copytree(PROJECTS / "noop", project)
        text = (project / "cortex.yaml").read_text()
        (project / "cortex.yaml").write_text(text + "  autoscaling:\n    min_replicas: 0\n")
        cluster.deploy(project, "--timeout", "300s")
        found = [_once(cluster) for _ in range(options.starts)]
    added = [(whole - start) * 1e3 for whole, start in found]
    note = f"request to answer {min(w for w, _ in found):.2f} to {max(w for w, _ in found):.2f} s"
    note += f", replica created to ready {min(s for _, s in found):.2f} to {max(s for _, s in found):.2f} s"
    return [Finding("wake from zero, whole platform: ms beyond the replica's start", "<= 100", "", "80", added, note)]


def _once(cluster: clusters.Cluster) -> tuple[float, float]:
    cluster.run("scale", "noop", "--replicas", "0")
    clusters.wait_for(lambda: cluster.api("noop")["status"].get("replicas", []) == [], "noop at zero")
    caller = http.client.HTTPConnection(cluster.data_address, timeout=60)
    began = time.monotonic()
    caller.request("POST", "/noop", b'{"x": 1}', {"content-type": "application/json"})
    answer = caller.getresponse()
    answer.read()
    whole = time.monotonic() - began
    assert answer.status == 200, answer.status
    (replica,) = cluster.api("noop")["status"]["replicas"]
    return whole, _seconds(replica["ready_time"]) - _seconds(replica["create_time"])


def _seconds(told: str) -> float:
    return datetime.datetime.fromisoformat(told).timestamp()
