"""The three kinds of users at their own doors: the command, plain curl, and generated clients with reflection."""

import asyncio
import contextlib
import json
import pathlib
import subprocess
import zipfile
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cortex.apiserver.v1 import api_service_pb2, api_service_pb2_grpc
from cortex.runtime.v1 import prediction_service_pb2 as pb
from cortex.runtime.v1 import prediction_service_pb2_grpc as pb_grpc
from tests.e2e import cluster as clusters
from tests.e2e.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def probe(cluster: Cluster) -> Cluster:
    said = cluster.deploy(cluster.project("probe"))
    assert f"http://{cluster.data_address}/probe" in said
    return cluster


def curl(*arguments: str) -> str:
    return subprocess.run(["curl", "-sS", *arguments], check=True, capture_output=True, text=True, timeout=30).stdout


READS = (["get"], ["get", "probe"], ["describe", "probe"], ["history", "probe"], ["events", "probe"], ["env", "list"])


@pytest.mark.parametrize("command", READS, ids=[" ".join(read) for read in READS])
@pytest.mark.parametrize("form", ["json", "yaml", "wide"])
def test_every_read_has_every_form(probe: Cluster, command: list[str], form: str) -> None:
    out = probe.run(*command, "-o", form)
    assert out.strip()
    if form == "json":
        json.loads(out)


def test_a_dry_run_changes_nothing(probe: Cluster) -> None:
    before = probe.api("probe")["generation"]
    said = probe.deploy(probe.project("probe", v1="v2"), "--dry-run")
    assert probe.api("probe")["generation"] == before and "bundle" in said.lower()


def test_logs_follow_what_a_request_prints(probe: Cluster, tmp_path: pathlib.Path) -> None:
    with (tmp_path / "out").open("w+") as out:
        command = [str(clusters.BIN / "cortex"), "logs", "probe", "-f", "--grep", "needle"]
        follower = subprocess.Popen(command, stdout=out, env=probe.environ, text=True)
        try:
            url = f"http://{probe.data_address}/probe"
            for number in range(3):
                body = json.dumps({"log": f"needle {number}"})
                curl(url, "-H", "content-type: application/json", "-d", body)
            clusters.wait_for(lambda: "needle 2" in (tmp_path / "out").read_text(), "the last line")
        finally:
            follower.terminate()
            follower.wait(10)
    text = (tmp_path / "out").read_text()
    assert [text.index(f"needle {n}") for n in range(3)] == sorted(text.index(f"needle {n}") for n in range(3))


def test_curl_can_deploy_and_read(probe: Cluster, tmp_path: pathlib.Path) -> None:
    project = probe.project("probe")
    with zipfile.ZipFile(tmp_path / "project.zip", "w") as bundle:
        bundle.write(project / "predictor.py", "predictor.py")
    base = f"http://{probe.control_address}/v1/namespaces/default"
    archive = f"@{tmp_path / 'project.zip'}"
    stored = json.loads(curl(f"{base}/bundles", "-H", "content-type: application/zip", "--data-binary", archive))
    spec = {
        "kind": "API_KIND_REALTIME",
        "predictor": {"type": "PREDICTOR_TYPE_PYTHON", "path": "predictor.py"},
        "bundle_digest": stored["digest"],
    }
    send = ["-H", "content-type: application/json", "-d", json.dumps({"spec": spec})]
    created = json.loads(curl(f"{base}/apis?api_id=by-curl", *send))
    assert created["name"] == "namespaces/default/apis/by-curl"
    url = f"http://{probe.data_address}/by-curl"
    # No wait: the first request is held until the first replica is there.
    first = curl(url, "-H", "content-type: application/json", "-d", "{}")
    assert json.loads(first).get("version") == "v1", first
    assert "by-curl" in curl(f"{base}/apis") and "by-curl" in curl(f"{base}/apis/by-curl")
    wrong = json.loads(curl(f"{base}/apis/none"))
    assert wrong["details"][0]["reason"] == "ERROR_REASON_NOT_FOUND"
    curl("-X", "DELETE", f"{base}/apis/by-curl")
    gone = f"waited for {url} to go"
    clusters.wait_for(lambda: "ERROR_REASON_NOT_FOUND" in curl(f"{base}/apis/by-curl"), gone)


def test_a_web_page_cannot_reach_the_control_plane(probe: Cluster) -> None:
    url = f"http://{probe.control_address}/v1/namespaces/default/apis"
    code = ["-o", "/dev/null", "-w", "%{http_code}"]
    assert curl(url, *code) == "200"
    assert curl(url, *code, "-H", "Origin: http://evil.example") == "403"
    assert curl(url, *code, "-H", "Host: evil.example") in ("403", "404", "421")


async def test_generated_clients_work_with_reflection(probe: Cluster) -> None:
    async with grpc.aio.insecure_channel(probe.control_address) as channel:
        stub = api_service_pb2_grpc.ApiServiceStub(channel)
        listed = await stub.ListApis(api_service_pb2.ListApisRequest(parent="namespaces/-"), timeout=10)
        assert "namespaces/default/apis/probe" in [api.name for api in listed.apis]
        assert "cortex.apiserver.v1.ApiService" in await services(channel, ())
    async with grpc.aio.insecure_channel(probe.data_address) as channel:
        metadata = (("cortex-api", "probe"),)
        assert "cortex.runtime.v1.PredictionService" in await services(channel, metadata)
        request = pb.PredictRequest(json=json_format.ParseDict({}, struct_pb2.Value()))
        reply = await pb_grpc.PredictionServiceStub(channel).Predict(request, metadata=metadata, timeout=10)
        assert json_format.MessageToDict(reply.json)["version"] == "v1"


async def services(channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> list[str]:
    async def ask() -> object:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # no aio stubs
    stream = stub.ServerReflectionInfo(ask(), metadata=metadata, timeout=10)
    with contextlib.suppress(asyncio.CancelledError):
        async for answer in stream:
            return [service.name for service in answer.list_services_response.service]
    return []


def test_small_commands(probe: Cluster) -> None:
    assert probe.run("version").startswith("1.")
    for shell in ("bash", "zsh", "fish"):
        assert "cortex" in probe.run("completion", shell)
    assert {"apiserver", "gateway", "node"} <= {row["service"] for row in probe.json("status")["services"]}
    sample = probe.home / "sample.json"
    sample.write_text("{}")
    assert "v1" in probe.run("predict", "probe", str(sample))
    assert "does not exist" in probe.run("describe", "no-such-api", status=3)


def test_metrics_are_shown_and_scraped(probe: Cluster) -> None:
    curl(f"http://{probe.data_address}/probe", "-H", "content-type: application/json", "-d", "{}")
    clusters.wait_for(lambda: "cortex_requests_total" in scrape(probe), "the counter at the Prometheus endpoint")
    assert 'api="probe"' in scrape(probe)


def scrape(cluster: Cluster) -> str:
    address = json.loads((cluster.home / "home/cluster.json").read_text())["metrics_address"]
    return curl(f"http://{address}/metrics")
