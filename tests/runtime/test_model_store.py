"""A replica whose models lie in an object store: progress while it starts, live reload, and kills in the middle."""

import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import object_store
from tests.runtime import replica as replicas

MIB = 1 << 20
SOURCE = """
import os, pathlib

class PythonPredictor:
    def __init__(self, config, python_client):
        self.client = python_client

    def load_model(self, path):
        data = (pathlib.Path(path) / "weights.bin").read_bytes()
        if data.startswith(b"broken"):
            raise ValueError("broken weights")
        return len(data)

    def predict(self, query_params):
        if "environ" in query_params:
            return sorted(name for name in os.environ if name.startswith("AWS_"))
        return {"size": self.client.get_model(query_params.get("model"))}
"""


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[object_store.Store]:
    with object_store.running(tmp_path / "objects") as made:
        yield made


def config(tmp_path: pathlib.Path) -> dict[str, Any]:
    return {"modelCacheDir": str(tmp_path / "cache")}


def test_progress_shows_while_it_starts_and_credentials_stay_with_the_front(
    tmp_path: pathlib.Path, store: object_store.Store
) -> None:
    store.put("bucket", "m/weights.bin", bytes(48 * MIB))
    store.faults.rate = 2 * MIB
    given: dict[str, Any] = {
        "predictor": {"models": {"path": "s3://bucket/m"}, "env": {"AWS_PROFILE_NAME": "own"}},
        "config": config(tmp_path),
        "environ": store.environ(),
    }
    with replicas.running(tmp_path, SOURCE, **given, ready=False) as replica:
        message = replicas.wait_for(lambda: "MiB/s" in replica.state.get("message", "") and replica.state["message"])
        assert message.startswith("model default/1: ") and " of 48.0 MiB, " in message
        assert replica.state["state"] == "STARTING"
        store.faults.rate = 0
        replica.wait_state("READY")
        assert replica.state["message"] == ""
        assert replica.client.post("/").json() == {"size": 48 * MIB}
        assert replica.client.post("/", params={"environ": "1"}).json() == ["AWS_PROFILE_NAME"]


def test_objects_that_change_are_reloaded_and_broken_ones_are_not(
    tmp_path: pathlib.Path, store: object_store.Store
) -> None:
    store.put("bucket", "models/a/1/weights.bin", b"x" * 10)
    models = {"dir": "s3://bucket/models", "poll_interval": "100ms"}
    given: dict[str, Any] = {"predictor": {"models": models}, "config": config(tmp_path), "environ": store.environ()}
    with replicas.running(tmp_path, SOURCE, **given) as replica:

        def size() -> int:
            found: int = replica.client.post("/", params={"model": "a"}).json()["size"]
            return found

        assert size() == 10
        store.put("bucket", "models/a/2/weights.bin", b"x" * 20)
        replicas.wait_for(lambda: size() == 20)
        store.put("bucket", "models/a/2/weights.bin", b"broken" * 5)
        assert "broken weights" in replica.wait_line("model a/2 cannot be loaded")["message"]
        assert size() == 20
        store.put("bucket", "models/a/2/weights.bin", b"x" * 30)
        replicas.wait_for(lambda: size() == 30)
        store.put("bucket", "models/b/weights.bin", b"x" * 40)
        replicas.wait_for(lambda: replica.client.post("/", params={"model": "b"}).status_code == 200)


def test_a_store_that_is_away_does_not_stop_what_serves(tmp_path: pathlib.Path, store: object_store.Store) -> None:
    store.put("bucket", "m/weights.bin", b"x" * 10)
    models = {"path": "s3://bucket/m", "poll_interval": "50ms"}
    given: dict[str, Any] = {"predictor": {"models": models}, "config": config(tmp_path), "environ": store.environ()}
    with replicas.running(tmp_path, SOURCE, **given) as replica:
        store.faults.deny = True
        assert "what was there goes on serving" in replica.wait_line("AccessDenied")["message"]
        assert replica.client.post("/").json() == {"size": 10}


def test_a_model_that_cannot_be_had_is_told_with_what_to_do(tmp_path: pathlib.Path, store: object_store.Store) -> None:
    store.put("bucket", "m/weights.bin", b"x" * 10)
    store.faults.deny = True
    given: dict[str, Any] = {
        "predictor": {"models": {"path": "s3://bucket/m"}},
        "config": config(tmp_path),
        "environ": store.environ(),
    }
    with replicas.running(tmp_path, SOURCE, **given, ready=False) as replica:
        assert replica.process.wait(replicas.WAIT_SECONDS) == 1
        failure = replica.state["failure"]
        assert failure["reason"] == "MODEL_FAILED"
        assert "AccessDenied" in failure["message"] and "s3:GetObject" in failure["message"]
        assert "test-secret" not in (tmp_path / "log.jsonl").read_text() + str(replica.state)


def test_a_killed_replica_leaves_no_fetch_behind_and_its_successor_goes_on(
    tmp_path: pathlib.Path, store: object_store.Store
) -> None:
    store.put("bucket", "m/weights.bin", bytes(64 * MIB))
    store.faults.rate = 8 * MIB
    given: dict[str, Any] = {
        "predictor": {"models": {"path": "s3://bucket/m"}},
        "config": config(tmp_path),
        "environ": store.environ(),
    }
    cache = tmp_path / "cache"
    with replicas.running(tmp_path / "first", SOURCE, **given, ready=False) as replica:
        replicas.wait_for(lambda: any(len(p.read_text().splitlines()) > 3 for p in cache.glob("partial/*.journal")))
        replica.process.send_signal(signal.SIGKILL)
        replica.process.wait()
        replicas.wait_for(lambda: not store.connections)
    done = sum(len(path.read_text().splitlines()) - 1 for path in cache.glob("partial/*.journal"))
    before, store.faults.rate = store.parts, 0
    with replicas.running(tmp_path / "second", SOURCE, **given) as replica:
        assert replica.client.post("/").json() == {"size": 64 * MIB}
    assert done >= 3 and store.parts - before == 8 - done


def test_a_store_that_sends_nonsense_does_not_end_what_serves(
    tmp_path: pathlib.Path, store: object_store.Store
) -> None:
    store.put("bucket", "m/weights.bin", b"x" * 10)
    models = {"path": "s3://bucket/m", "poll_interval": "50ms"}
    given: dict[str, Any] = {"predictor": {"models": models}, "config": config(tmp_path), "environ": store.environ()}
    with replicas.running(tmp_path, SOURCE, **given) as replica:
        store.faults.answer = b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"
        assert "what was there goes on serving" in replica.wait_line("does not speak HTTP")["message"]
        assert replica.client.post("/").json() == {"size": 10}
        store.put("bucket", "m/weights.bin", b"x" * 20)
        store.faults.answer = b""
        replicas.wait_for(lambda: replica.client.post("/").json() == {"size": 20})


def test_a_limit_on_disk_unloads_what_is_idle_in_memory(tmp_path: pathlib.Path, store: object_store.Store) -> None:
    for size, name in enumerate("abcd", 100):
        store.put("bucket", f"models/{name}/weights.bin", b"x" * size)
    models = {"dir": "s3://bucket/models", "disk_budget": 250}
    predictor = {"models": models, "processesPerReplica": 2}
    with replicas.running(
        tmp_path, SOURCE, predictor=predictor, config=config(tmp_path), environ=store.environ()
    ) as replica:
        for name in "abcdabcd":
            answer = replica.client.post("/", params={"model": name})
            assert answer.status_code == 200, answer.text
            assert answer.json() == {"size": 100 + "abcd".index(name)}
