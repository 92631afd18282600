"""Records, reports, requirements, addresses, garbage, watchers, limits and conversion: each small, each on its own."""

import asyncio
import dataclasses
import json
import pathlib
import random
import socket
import threading
import time

import pytest
from google.protobuf import json_format

from cortex.apiserver.v1 import spec_pb2
from cortex.node.v1 import node_service_pb2
from cortex.runtime.v1 import replica_config_pb2
from services.chassis import errors, processes, settings
from services.node import (
    addresses,
    convert,
    garbage,
    installer,
    interpreters,
    limits,
    model,
    neuron,
    process,
    records,
    reports,
    requirements,
    watch,
)
from services.node import settings as node_settings

_FAILURE = model.Failure(model.Reason.OUT_OF_MEMORY, "too much", 5.0, -9)
_LAUNCH = model.Launch(processes.Identity(1, 2, "b"), 3.0, 4, 5.0, _FAILURE)
_WISH = model.Wish("a-r1-x", "namespaces/d/apis/a/revisions/r1", "namespaces/d/bundles/" + "0" * 64, {"k": [1, "x"]})
_RECORD = model.Record(_WISH, "127.0.0.1:20000", "127.0.0.1:20001", 1.0, _LAUNCH, model.StopIntent(9.0, 8.0), "e", 7.0)
_VIEW = model.View("a", "r", model.State.READY, 1, 0, None, 0, None, "", "", "")


@pytest.mark.parametrize(
    "record",
    [_RECORD, dataclasses.replace(_RECORD, launch=None, stop=None, last_failure=_FAILURE)],
)
def test_records_survive_the_disk(tmp_path: pathlib.Path, record: model.Record) -> None:
    kept = records.Records(tmp_path / "replicas")
    kept.save(record)
    assert kept.load() == [record]
    kept.remove(record)
    assert kept.load() == []
    assert list((tmp_path / "replicas").iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", '{"version": 99}', '{"version": 1, "wish": 3}'])
def test_a_broken_record_is_set_aside(tmp_path: pathlib.Path, content: str) -> None:
    kept = records.Records(tmp_path)
    kept.save(_RECORD)
    broken = tmp_path / "zzz/record.json"
    broken.parent.mkdir()
    broken.write_text(content)
    assert kept.load() == [_RECORD]
    assert broken.with_suffix(".broken").read_text() == content


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x", "state": 1}', '{"pid": 1, "state": 2, "failure": 3}'])
def test_what_is_no_state_file_is_no_report(text: str) -> None:
    assert reports.parse(text) is None


def test_a_report_with_a_failure() -> None:
    failure = {"reason": "CONSTRUCTOR_FAILED", "message": "x" * 50_000 + "ValueError", "time": "2026-11-21T01:00:00Z"}
    report = reports.parse(json.dumps({"pid": 7, "state": "STARTING", "failure": failure}))
    assert report is not None and report.failure is not None
    assert report.failure.reason is model.Reason.CONSTRUCTOR_FAILED
    assert report.failure.message.endswith("ValueError") and len(report.failure.message) < 17_000
    assert report.failure.time == 1795222800.0


def test_a_reader_sees_each_replacement(tmp_path: pathlib.Path) -> None:
    path, reader = tmp_path / "state.json", reports.Reader()
    assert reader.read(path) is None
    for state in ("STARTING", "READY", "DRAINING"):
        records.write_atomically(path, json.dumps({"pid": 7, "state": state}))
        report = reader.read(path)
        assert report is not None and report.state.value == state


def test_the_tail_of_a_log_leaves_out_earlier_runs(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "boot.log"
    path.write_text("old\n" + "new\n" * 3)
    assert reports.tail(path, 4) == "new\nnew\nnew"
    assert reports.tail(path, 4000) == "old\nnew\nnew\nnew"  # cut off meanwhile
    assert reports.tail(path, 4, lines=1) == "new"
    assert reports.tail(tmp_path / "none", 0) == ""


def test_requirements_cover_what_they_include(tmp_path: pathlib.Path) -> None:
    assert requirements.read(tmp_path, "") is None
    (tmp_path / "requirements.txt").write_text("-r more.txt\nnumpy\n")
    (tmp_path / "more.txt").write_text("scipy\n")
    first = requirements.read(tmp_path, "")
    (tmp_path / "more.txt").write_text("scipy==1\n")
    second = requirements.read(tmp_path, "requirements.txt")
    assert first is not None and second is not None
    assert first.digest != second.digest
    assert not second.local


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("./pkg", True),
        (".", True),
        ("-e ./pkg", True),
        ("pkg @ file:///x", True),
        ("numpy", False),
        ("a @ https://x/y.whl", False),
    ],
)
def test_requirements_from_the_project_itself(tmp_path: pathlib.Path, line: str, local: bool) -> None:
    (tmp_path / "requirements.txt").write_text(line + "\n")
    found = requirements.read(tmp_path, "")
    assert found is not None and found.local is local


@pytest.mark.parametrize("line", ["-r ../secret.txt", "-r /etc/passwd", "-r missing.txt", "-r requirements.txt"])
def test_requirements_that_reach_outside_or_round_in_circles(tmp_path: pathlib.Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(line + "\n")
    with pytest.raises(requirements.RequirementsError):
        requirements.read(tmp_path, "")


def test_ports_are_given_out_once_and_again_when_released() -> None:
    given = addresses.Addresses(20_000, 29_999, random.Random(3))
    held = dataclasses.replace(_RECORD, http_address=given.allocate()[0], grpc_address="")
    assert held.http_address not in [given.allocate()[0] for _ in range(50)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.ResourceExhausted):
            addresses.Addresses(port, port, random.Random(3)).allocate()


def test_garbage_is_chosen_by_age_and_never_in_use() -> None:
    names = [("old", 1.0), ("used", 0.0), ("newer", 2.0), ("young", 9_900.0)]
    entries = [garbage.Entry(pathlib.Path("/x", name), 10, when) for name, when in names]
    chosen = garbage.choose(entries, frozenset({"used"}), 25, 10_000.0)
    assert [entry.path.name for entry in chosen] == ["old", "newer"]
    assert garbage.choose(entries, frozenset(), 40, 10_000.0) == []
    assert "young" not in [entry.path.name for entry in garbage.choose(entries, frozenset(), 0, 10_000.0)]


async def test_the_collector_asks_on_the_loop_and_outlives_what_goes_wrong(tmp_path: pathlib.Path) -> None:
    asked_by: list[threading.Thread] = []

    def in_use() -> frozenset[str]:
        asked_by.append(threading.current_thread())
        if len(asked_by) == 1:
            raise RuntimeError("dictionary changed size during iteration")
        return frozenset({"used"})

    for name in ("used", "unused"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x" * 10_000)
    (tmp_path / "a.zip").symlink_to("nowhere")
    later = time.time() + 1000
    collector = garbage.Collector([tmp_path], most=0, now=lambda: later)
    task = asyncio.create_task(garbage.keep_collecting(0.001, in_use, collector.collect))
    async with asyncio.timeout(10):
        while (tmp_path / "unused").exists():
            await asyncio.sleep(0.001)
    task.cancel()
    assert (tmp_path / "used").exists() and set(asked_by) == {threading.main_thread()}


async def test_a_slow_watcher_is_told_that_it_missed_something() -> None:
    hub = watch.Hub(size=2)
    with hub.watcher() as slow:
        for _ in range(3):
            hub.publish(watch.Change(_VIEW))
        assert slow.overflowed
        assert await slow.get(1) == watch.Change(_VIEW)
    with hub.watcher() as quiet:
        assert await asyncio.wait_for(quiet.get(0.01), 5) is None


async def test_a_change_does_not_swallow_the_end_of_its_watcher() -> None:
    watcher = watch.Watcher(2)
    task = asyncio.create_task(watcher.get(30))
    await asyncio.sleep(0)
    watcher.put(watch.Change(_VIEW))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_cgroups_are_probed_and_never_insisted_on(tmp_path: pathlib.Path) -> None:
    assert limits.choose("watch", "", "n", root=tmp_path, own="").name == "watch"
    assert limits.choose("auto", "", "n", root=tmp_path / "none", own="0::/user").name == "watch"
    with pytest.raises(settings.SettingsError, match="CORTEX_CGROUP"):
        limits.choose("cgroup", "", "n", root=tmp_path / "none", own="")
    with pytest.raises(settings.SettingsError, match="expected auto"):
        limits.choose("wrong", "", "n", root=tmp_path, own="")


def test_kills_of_an_earlier_run_are_not_held_against_a_new_one(tmp_path: pathlib.Path) -> None:
    group = tmp_path / "cortex-n/a"
    group.mkdir(parents=True)
    cgroups = limits.Cgroups(tmp_path / "cortex-n", version=1)
    (group / "memory.oom_control").write_text("oom_kill_disable 0\noom_kill 3\n")
    cgroups.enclose("a", 1, 100)  # the folder is not empty, so it stays, as one with a dying process in it does
    assert cgroups.kills("a") == 0
    (group / "memory.oom_control").write_text("oom_kill_disable 0\noom_kill 4\n")
    assert cgroups.kills("a") == 1
    assert limits.Cgroups(tmp_path / "cortex-n", version=1).kills("a") == 0


def test_the_environment_of_a_replica_is_small() -> None:
    wish = dataclasses.replace(_WISH, cpu_millis=3500, worker_processes=2)
    given = {"PATH": "/bin", "SECRET": "x", "OTEL_SERVICE_NAME": "y", "CORTEX_HOME": "/h", "CORTEX_TRITON": "off"}
    found = process.replica_environment(given, wish)
    assert found["OMP_NUM_THREADS"] == "2"
    assert found["CORTEX_TRITON"] == "off"
    assert {"PATH", "OTEL_SERVICE_NAME"} <= set(found) and not {"SECRET", "CORTEX_HOME"} & set(found)
    assert process.replica_environment({}, _WISH)["OMP_NUM_THREADS"] == "1"


def test_pip_settings_become_uv_settings_unless_uv_has_its_own(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://conf/simple\ntrusted-host = a b\n")
    given = {"HOME": str(tmp_path), "PIP_FIND_LINKS": "/w1 /w2", "SECRET": "x", "UV_CACHE_DIR": "/c"}
    found = installer.environment(given)
    assert found["UV_DEFAULT_INDEX"] == "https://conf/simple"
    assert (found["UV_FIND_LINKS"], found["UV_INSECURE_HOST"]) == ("/w1,/w2", "a b")
    assert found["UV_PYTHON_DOWNLOADS"] == "never" and found["UV_CACHE_DIR"] == "/c" and "SECRET" not in found
    assert installer.environment({**given, "UV_DEFAULT_INDEX": "https://uv"})["UV_DEFAULT_INDEX"] == "https://uv"


def test_uv_lines_become_progress() -> None:
    told: list[str] = []
    progress = installer.Progress(told.append)
    for line in (
        "Resolved 7 packages in 141ms",
        "Downloading numpy (16.1MiB)",
        " Downloaded numpy",
        "   Building foo==1.0",
        "Prepared 2 packages in 1s",
    ):
        progress.line(line)
    assert told == [
        "installing 7 packages",
        "installing numpy ... 1/7",
        "building foo ... 2/7",
        "linking 7 packages into the environment",
    ]


def test_interpreters() -> None:
    own = str(interpreters.platform_python())
    assert interpreters.find("", "") == own
    assert interpreters.find(".".join(own.rpartition("python")[2].split(".")), "") == own
    assert interpreters.find("3.99", "") == "3.99"
    with pytest.raises(ValueError, match="not a Python version"):
        interpreters.find("; rm -rf", "")


def _request(**changes: str) -> node_service_pb2.StartReplicaRequest:
    given = {"replica_id": "a-r1-x", "revision": "namespaces/d/apis/a/revisions/r1", "bundle": _WISH.bundle, **changes}
    return json_format.ParseDict(given, node_service_pb2.StartReplicaRequest())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("replica_id", "../x"),
        ("replica_id", ""),
        ("replica_id", "A"),
        ("revision", "namespaces/d/apis/../revisions/r1"),
        ("revision", "x"),
        ("bundle", "namespaces/d/bundles/../../etc"),
    ],
)
def test_names_that_would_become_paths_are_refused(field: str, value: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        convert.wish(_request(**{field: value}))


def test_the_admin_token_is_secret_and_stays(tmp_path: pathlib.Path) -> None:
    path = process.admin_token(tmp_path)
    token = path.read_text()
    assert len(token.strip()) >= 32 and path.stat().st_mode & 0o777 == 0o600
    assert process.admin_token(tmp_path).read_text() == token
    (tmp_path / "other").mkdir()
    assert process.admin_token(tmp_path / "other").read_text() != token


def test_replicas_never_share_neuron_cores() -> None:
    cores = neuron.Cores(4, 2)
    first = cores.allocate(2)
    second = cores.allocate(1)
    assert (first, second) == ((0, 4), (4, 2))
    with pytest.raises(errors.ResourceExhausted, match="1 of 4 are free"):
        cores.allocate(2)
    held = dataclasses.replace(_RECORD, neuron_core_first=0, neuron_core_count=4)
    cores.release(held)
    assert cores.allocate(1) == (0, 2)
    cores.hold(held)
    assert cores.allocate(1) == (6, 2)
    assert cores.allocate(0) == (0, 0)


def test_replicas_are_told_of_the_clusters_own_triton(tmp_path: pathlib.Path) -> None:
    chosen = node_settings.Settings("l", "a", tmp_path)
    assert chosen.triton == ""
    (tmp_path / "triton").mkdir()
    assert chosen.triton == str(tmp_path / "triton")
    assert dataclasses.replace(chosen, triton_home="/opt/t").triton == "/opt/t"


def test_a_machine_without_neuron_devices_gives_none(tmp_path: pathlib.Path) -> None:
    assert neuron.Cores(0, 2).allocate(1) == (0, 0)
    for name in ("neuron0", "neuron1", "neuron_core", "null"):
        (tmp_path / name).touch()
    assert neuron.count(tmp_path) == 2


def test_a_wish_becomes_a_replica_config() -> None:
    request = _request()
    request.spec.predictor.path = "p.py"
    request.spec.predictor.config.update({"a": 1})
    request.spec.compute.memory_bytes = 2**40
    request.spec.update_strategy.drain_timeout.FromSeconds(7)
    request.spec.predictor.type = spec_pb2.PREDICTOR_TYPE_ONNX
    request.spec.predictor.server_side_batching.max_batch_size = 8
    request.spec.predictor.dependencies.MergeFrom(spec_pb2.Dependencies(pip="r.txt", conda="c.txt", shell="d.sh"))
    request.spec.compute.neuron_devices = 2
    wish = convert.wish(request)
    assert (wish.predictor_type, wish.neuron_devices) == ("ONNX", 2)
    assert (wish.requirements, wish.conda_packages, wish.shell_script) == ("r.txt", "c.txt", "d.sh")
    assert (wish.memory_bytes, wish.drain_timeout, wish.cpu_millis) == (2**40, 7.0, 200)
    home, record = pathlib.Path("/h"), dataclasses.replace(_RECORD, wish=wish, neuron_core_first=2, neuron_core_count=4)
    kept = records.from_json(json.loads(json.dumps(records.to_json(record))))
    text = convert.replica_config(
        kept,
        model.Prepared("/p", "/python", "e"),
        chosen=node_settings.Settings("l", "a", home, "m", triton_home="/t", model_cache_bytes=9),
        log_file="l",
        state_file="s",
        admin_token_file="t",
    )
    config = json_format.Parse(text, replica_config_pb2.ReplicaConfig())
    assert config.spec == request.spec
    assert config.drain_timeout.seconds == 7
    assert (config.monitor_address, config.admin_token_file, config.triton_home) == ("m", "t", "/t")
    assert (config.model_cache_dir, config.model_cache_bytes) == ("/h/node/models", 9)
    assert (config.neuron_core_first, config.neuron_core_count) == (2, 4)
    assert (config.api, config.revision, config.replica) == ("namespaces/d/apis/a", "r1", "a-r1-x")
    assert spec_pb2.ApiSpec() != config.spec
