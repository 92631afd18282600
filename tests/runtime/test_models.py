"""Several models behind one predictor: names, versions, limits in memory, and files that change under load."""

import functools
import os
import pathlib
import threading

import httpx
import pytest

from tests.runtime import replica as replicas

SOURCE = """
import pathlib, os

class PythonPredictor:
    def __init__(self, config, python_client):
        self.client = python_client

    def load_model(self, path):
        path = pathlib.Path(path)
        text = (path if path.is_file() else path / "weights.txt").read_text()
        if text == "broken":
            raise ValueError("these weights are broken")
        print("loaded", text)
        return Model(text)

    def predict(self, query_params):
        model = self.client.get_model(query_params.get("model"), query_params.get("version", "latest"))
        return {"text": model.text, "pid": os.getpid()}

class Model:
    def __init__(self, text):
        self.text = text

    def __del__(self):
        print("unloaded", self.text)
"""


def put(folder: pathlib.Path, text: str) -> None:
    """As a whole: a folder appears under its name once it is complete."""
    new = folder.with_name("." + folder.name)
    new.mkdir(parents=True)
    (new / "weights.txt").write_text(text)
    if folder.exists():
        folder.rename(folder.with_name("..old-" + folder.name))
    new.rename(folder)


def ask(replica: replicas.Replica, **query: str) -> httpx.Response:
    return replica.client.post("/", params=query)


def text(replica: replicas.Replica, **query: str) -> str:
    answer = ask(replica, **query)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["text"]
    return found


def test_names_and_versions_of_a_folder(tmp_path: pathlib.Path) -> None:
    models = tmp_path / "models"
    for name in ("iris/1", "iris/2", "iris/10", "wine"):
        put(models / name, name)
    with replicas.running(tmp_path, SOURCE, predictor={"models": {"dir": str(models)}}) as replica:
        assert text(replica, model="iris") == "iris/10"
        assert text(replica, model="iris", version="2") == "iris/2"
        assert text(replica, model="wine") == "wine"
        unknown = ask(replica, model="rose")
        assert unknown.status_code == 404 and unknown.json()["error"] == "there is no model 'rose'"
        missing = ask(replica, model="iris", version="3")
        assert missing.status_code == 404 and missing.json()["error"] == "model 'iris' has no version '3'"
        assert ask(replica).status_code == 400
        versions = {"1": "READY", "2": "READY", "10": "READY"}
        assert replica.client.get("/info").json()["models"] == {"iris": versions, "wine": {"1": "READY"}}


def test_paths_of_the_project_and_the_one_without_a_name(tmp_path: pathlib.Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.bin").write_text("a")
    with replicas.running(tmp_path, SOURCE, predictor={"models": {"path": "a.bin"}}) as replica:
        assert text(replica) == "a"


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"path": "missing.bin"}, "there is no file or folder"),
        ({"path": "../outside"}, "lies outside the project"),
        ({"path": "ftp://host/x"}, "expected a path, file:// or s3://"),
        ({"path": "a", "dir": "b"}, "exactly one of path, paths and dir"),
    ],
)
def test_what_cannot_be_had_keeps_the_replica_from_starting(
    tmp_path: pathlib.Path, models: dict[str, str], words: str
) -> None:
    with replicas.running(tmp_path, SOURCE, predictor={"models": models}, ready=False) as replica:
        assert replica.process.wait(replicas.WAIT_SECONDS) == 1
        failure = replica.state["failure"]
        assert failure["reason"] == "MODEL_FAILED" and words in failure["message"]


def test_the_constructor_may_ask_already(tmp_path: pathlib.Path) -> None:
    source = SOURCE.replace("self.client = python_client", "self.client = python_client; python_client.get_model('a')")
    put(tmp_path / "models" / "a", "early")
    with replicas.running(tmp_path, source, predictor={"models": {"dir": str(tmp_path / "models")}}) as replica:
        replica.wait_line("loaded early")
        assert text(replica, model="a") == "early"


def test_without_models_the_log_says_what_is_missing(tmp_path: pathlib.Path) -> None:
    with replicas.running(tmp_path, SOURCE) as replica:
        answer = ask(replica)
        assert (answer.status_code, answer.json()["error"]) == (500, "internal server error")
        assert "declares no models" in replica.wait_line("RuntimeError")["message"]


def test_the_limit_in_memory_unloads_the_longest_unused(tmp_path: pathlib.Path) -> None:
    for name in "abc":
        put(tmp_path / "models" / name, name)
    declared = {"dir": str(tmp_path / "models"), "cache_size": 2}
    with replicas.running(tmp_path, SOURCE, predictor={"models": declared}) as replica:
        for name in "abac":
            assert text(replica, model=name) == name
        replica.wait_line("unloaded b")
        replica.wait_line("loaded c")
        loaded = [line["message"] for line in replica.lines() if line["message"].startswith("loaded")]
        assert loaded == ["loaded a", "loaded b", "loaded c"]


def test_the_budget_in_bytes_refuses_what_can_never_fit(tmp_path: pathlib.Path) -> None:
    put(tmp_path / "models" / "small", "s" * 60)
    put(tmp_path / "models" / "large", "l" * 200)
    declared = {"dir": str(tmp_path / "models"), "memory_budget": 100}
    with replicas.running(tmp_path, SOURCE, predictor={"models": declared}) as replica:
        assert ask(replica, model="large").status_code == 507
        assert text(replica, model="small") == "s" * 60


def test_a_new_version_takes_over_and_a_broken_one_does_not(tmp_path: pathlib.Path) -> None:
    models = tmp_path / "models"
    put(models / "m" / "1", "one")
    declared = {"dir": str(models), "poll_interval": "100ms"}
    with replicas.running(tmp_path, SOURCE, predictor={"models": declared}) as replica:
        assert text(replica, model="m") == "one"
        put(models / "m" / "2", "two")
        replica.wait_line("unloaded one")
        assert text(replica, model="m") == "two"
        put(models / "m" / "3", "broken")
        line = replica.wait_line("model m/3 cannot be loaded")
        assert "these weights are broken" in line["message"] and line["level"] == "error"
        assert text(replica, model="m") == "two"
        put(models / "m" / "3", "three")
        replica.wait_line("unloaded two")
        assert text(replica, model="m") == "three"


def test_a_version_that_is_removed_is_gone(tmp_path: pathlib.Path) -> None:
    models = tmp_path / "models"
    put(models / "m" / "1", "one")
    put(models / "n", "n")
    declared = {"dir": str(models), "poll_interval": "100ms"}
    with replicas.running(tmp_path, SOURCE, predictor={"models": declared}) as replica:
        assert text(replica, model="m") == "one"
        (models / "m").rename(tmp_path / "elsewhere")
        replica.wait_line("unloaded one")
        assert ask(replica, model="m").status_code == 404
        assert text(replica, model="n") == "n"


def test_no_request_fails_while_models_are_swapped(tmp_path: pathlib.Path) -> None:
    models, swaps = tmp_path / "models", int(os.environ.get("CORTEX_MODEL_SWAPS", "10"))
    put(models / "m", "0")
    declared = {"dir": str(models), "poll_interval": "50ms"}
    predictor = {"models": declared, "threadsPerProcess": 4}
    with replicas.running(tmp_path, SOURCE, predictor=predictor) as replica:
        seen: list[tuple[int, str]] = []
        over = threading.Event()

        def load() -> None:
            with httpx.Client(base_url=str(replica.client.base_url), verify=False) as client:
                while not over.is_set():
                    answer = client.post("/", params={"model": "m"})
                    seen.append((answer.status_code, answer.json().get("text", "")))

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        replicas.wait_for(lambda: len(seen) > 10)
        for index in range(1, swaps + 1):
            put_over = models / "m" / "weights.txt"
            put_over.with_suffix(".new").write_text(str(index))
            put_over.with_suffix(".new").rename(put_over)
            replicas.wait_for(functools.partial(lambda wanted: seen and seen[-1][1] == wanted, str(index)))
        over.set()
        for thread in threads:
            thread.join()
        failed = [answer for answer in seen if answer[0] != 200]
        print(f"{len(seen)} requests during {swaps} swaps, {len(failed)} failed")
        assert failed == [] and {answer[1] for answer in seen} == {str(index) for index in range(swaps + 1)}


def test_odd_files_of_a_folder_stop_neither_serving_nor_reload(tmp_path: pathlib.Path) -> None:
    models = tmp_path / "models"
    put(models / "m" / "1", "one")
    declared = {"dir": str(models), "poll_interval": "50ms"}
    with replicas.running(tmp_path, SOURCE, predictor={"models": declared}) as replica:
        assert text(replica, model="m") == "one"
        (models / "m/1/nowhere").symlink_to("/nowhere/at/all")
        (models / "m/1/up").symlink_to("..")
        (models / "m/1/round").symlink_to(models)
        (models / "m/1/itself").symlink_to("itself")
        pathlib.Path(os.fsdecode(os.fsencode(models / "m/1") + b"/\xff\xfe")).touch()
        pathlib.Path(os.fsdecode(os.fsencode(models) + b"/\xff\xfe")).mkdir()
        put(models / "m" / "2", "two")
        replica.wait_line("unloaded one")
        assert text(replica, model="m") == "two"
