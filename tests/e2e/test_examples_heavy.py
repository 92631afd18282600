"""The examples that train a model, with libraries too large for each run: `make examples-heavy`."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.e2e import cluster as clusters

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
WANTED = "CORTEX_EXAMPLES_HEAVY"


@pytest.mark.skipif(WANTED not in os.environ, reason="PyTorch alone is 3 GB on Linux; `make examples-heavy` runs these")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("example", "api", "said"),
    [
        ("sklearn/iris-classifier", "iris-classifier", "setosa"),
        ("sklearn/iris-batching", "iris-batching", "setosa"),
        ("xgboost/breast-cancer", "breast-cancer", "0."),
        ("onnx/digit-classifier", "digit-classifier", "digit"),
        ("pytorch/iris-classifier", "iris-pytorch", "setosa"),
        ("tensorflow/iris-classifier", "iris-tensorflow", "setosa"),
    ],
)
def test_an_example_that_trains(cluster: clusters.Cluster, example: str, api: str, said: str) -> None:
    folder = cluster.home / example
    shutil.copytree(EXAMPLES / example, folder)
    needed = next(name for name in ("requirements-train.txt", "requirements.txt") if (folder / name).exists())
    train = ["uv", "run", "--quiet", "--no-project", "--with-requirements", needed, "train.py"]
    subprocess.run(train, cwd=folder, env=cluster.environ, check=True)
    cluster.run("deploy", cwd=folder, timeout=1200)
    answer = cluster.run("predict", api, "sample.json", cwd=folder)
    assert said in answer, json.dumps(answer)
    if (folder / "client.py").exists():
        client = [sys.executable, "client.py", f"http://{cluster.data_address}/{api}"]
        done = subprocess.run(client, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and said in done.stdout, done.stdout + done.stderr
