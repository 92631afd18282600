"""What the ancestor's projects have beside their class (a script, variables, batches), deployed and run."""

import concurrent.futures
import os
import signal
import subprocess

import httpx
import pytest

from tests.e2e.cluster import BIN, Cluster, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def _predict_at_once(url: str) -> list[dict[str, object]]:
    with httpx.Client(timeout=30, verify=False) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.post(url, json=n), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8, [answer.text for answer in answers]
    return [answer.json() for answer in answers]


def _check(url: str) -> None:
    answers = _predict_at_once(url)
    assert [answer["got"] for answer in answers] == list(range(8)), "everyone gets the answer to his own request"
    assert max(int(str(answer["batch"])) for answer in answers) > 1, "they came in batches"
    assert all(answer["made"] == 42 for answer in answers)
    assert answers[0]["env"] == ["from yaml", "from dotenv"]


def test_a_deployed_project_has_its_script_its_variables_and_its_batches(cluster: Cluster) -> None:
    project = cluster.project("tooled")
    cluster.deploy(project)
    _check(f"http://{cluster.data_address}/tooled")
    api = cluster.api("tooled")
    assert api["spec"]["predictor"]["dependencies"]["shell"] == "dependencies.sh"
    assert api["spec"]["autoscaling"]["target_in_flight"] == 8
    assert "not_in_effect" not in api["status"]
    logs = cluster.run("logs", "tooled")
    assert "constructed" in logs and "below the level" not in logs
    (project / "dependencies.sh").write_text("echo looking for the library\nls /no/such/library\n")
    said = cluster.deploy(project, status=1)
    assert "`dependencies.sh` failed (status 2)" in said and "/no/such/library" in said
    _check(f"http://{cluster.data_address}/tooled")


def test_cortex_run_serves_the_same(cluster: Cluster) -> None:
    project, port = cluster.project("tooled"), free_port()
    command = [str(BIN / "cortex"), "run", str(project), "--port", str(port)]
    with subprocess.Popen(command, env=cluster.environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            told: list[str] = []
            while not any("serving" in line for line in told):
                line = process.stderr.readline()
                assert line, told
                told.append(line)
            assert any("dependencies.sh: preparing tooled" in line for line in told) or len(told) == 2
            _check(f"http://127.0.0.1:{port}/tooled")
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
    assert os.listdir(project) and not (project / "made_by_script.py").exists()
