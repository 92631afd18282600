"""A model in an object store through the whole platform: progress in deploy and describe, and a clear end."""

import pathlib
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e import cluster as clusters
from tests.fakes import object_store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MIB = 1 << 20
YAML = """
- name: remote
  kind: RealtimeAPI
  predictor:
    type: python
    path: predictor.py
    models:
      path: s3://bucket/{prefix}
"""
PREDICTOR = """
import pathlib

class PythonPredictor:
    def __init__(self, config, python_client):
        self.client = python_client

    def load_model(self, path):
        return sum(file.stat().st_size for file in pathlib.Path(path).iterdir())

    def predict(self, payload):
        return {"bytes": self.client.get_model()}
"""


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[object_store.Store]:
    with object_store.running(tmp_path / "objects") as made:
        yield made


def project(cluster: clusters.Cluster, prefix: str) -> pathlib.Path:
    folder = cluster.home / prefix
    folder.mkdir()
    (folder / "cortex.yaml").write_text(YAML.format(prefix=prefix))
    (folder / "predictor.py").write_text(PREDICTOR)
    return folder


def test_progress_shows_and_a_model_that_is_not_there_ends_the_rollout(store: object_store.Store) -> None:
    store.put("bucket", "large/weights.bin", bytes(64 * MIB))
    store.faults.rate = 2 * MIB
    with clusters.running(store.environ()) as cluster:
        command = [str(clusters.BIN / "cortex"), "deploy"]
        deploy = subprocess.Popen(
            command, cwd=project(cluster, "large"), env=cluster.environ, stderr=subprocess.PIPE, text=True
        )
        words = "model default/1: "
        # The rate is told from the second message on; only a third one shows that deploy had time for the second.
        seen: set[str] = set()
        clusters.wait_for(lambda: _rates(cluster, words, seen) >= 2, "progress in describe")
        shown = max(seen)
        print(shown)
        assert " of 64.0 MiB" in shown and "STARTING" in shown
        store.faults.rate = 0
        assert deploy.stderr is not None
        said = deploy.stderr.read()
        assert deploy.wait() == 0, said
        assert words in said and "MiB/s" in said
        assert predict(cluster) == {"bytes": 64 * MIB}
        failed = cluster.deploy(project(cluster, "missing"), status=1)
        assert "MODEL_FAILED" in failed and "nothing is at s3://bucket/missing" in failed
        assert predict(cluster) == {"bytes": 64 * MIB}


def predict(cluster: clusters.Cluster) -> object:
    return httpx.post(f"http://{cluster.data_address}/remote", json={}, timeout=30).json()


def _line(text: str, words: str) -> str:
    return next((line for line in text.splitlines() if words in line), "")


def _rates(cluster: clusters.Cluster, words: str, seen: set[str]) -> int:
    """Adds to `seen` the line that tells how fast the model comes, as it is now; returns how many there were."""
    line = _line(cluster.run("describe", "remote"), words)
    if "MiB/s" in line:
        seen.add(line)
    return len(seen)
