"""Model repositories and framework predictors through the whole platform, on a real Triton: examples as they are."""

import json
import pathlib
import shutil
import subprocess
import sys
import urllib.request

import pytest

from tests.e2e import cluster as clusters
from tests.triton import stand

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def triton(cluster: clusters.Cluster) -> clusters.Cluster:
    """The cluster with a Triton where `make triton` puts it."""
    place = cluster.home / "home/triton"
    if not place.exists():
        place.symlink_to(stand.home(), target_is_directory=True)
    return cluster


def prepared(cluster: clusters.Cluster, example: str) -> pathlib.Path:
    folder = cluster.home / example
    shutil.copytree(EXAMPLES / example, folder)
    subprocess.run([stand.python(), "make_models.py"], cwd=folder, check=True)
    return folder


def info(cluster: clusters.Cluster, path: str) -> dict[str, str]:
    with urllib.request.urlopen(f"http://{cluster.data_address}{path}/info", timeout=30) as reply:
        told: dict[str, str] = json.load(reply)
        return told


def test_a_model_repository_deploys_as_it_is(triton: clusters.Cluster) -> None:
    folder = prepared(triton, "triton/search")
    triton.deploy(folder)
    assert info(triton, "/search")["engine"].startswith("triton 2.")
    client = [sys.executable, "client.py", f"http://{triton.data_address}/search", "baking", "bread"]
    done = subprocess.run(client, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[0].endswith("How to bake bread with a sourdough starter")


def test_an_onnx_predictor_deploys_as_of_old(triton: clusters.Cluster) -> None:
    folder = prepared(triton, "onnx/onnx-client")
    triton.deploy(folder)
    assert info(triton, "/temperatures")["engine"].startswith("triton 2.")
    answer = triton.run("predict", "temperatures", "sample.json", cwd=folder)
    assert json.loads(answer)["values"][0] == 32.0
