"""The examples that train nothing, deployed and called as their README says."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.e2e import cluster as clusters

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("example", "path", "said"),
    [
        ("numpy/text-generator", "/text-generator", "60 tokens after 23 of the prompt"),
        ("numpy/text-embedding", "/text-embedding", " 1.00  The cat sat on the mat."),
        ("python/multi-model", "/sentiment", "404 there is no model 'french'"),
        ("grpc/language-detector", "", "fr 1.00  Où est la prochaine gare"),
    ],
)
def test_an_example_and_its_client(cluster: clusters.Cluster, example: str, path: str, said: str) -> None:
    folder = cluster.home / example
    shutil.copytree(EXAMPLES / example, folder)
    cluster.deploy(folder)
    address = f"http://{cluster.data_address}{path}" if path else cluster.data_address
    client = [sys.executable, str(folder / "client.py"), address]
    done = subprocess.run(client, capture_output=True, text=True, timeout=60, check=False)
    assert said in done.stdout, done.stdout + done.stderr
