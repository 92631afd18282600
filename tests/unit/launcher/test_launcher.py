"""The launcher as its users meet it: real processes, fake services."""

import os
import pathlib
import signal
import socket
import stat
from collections.abc import Iterator

import pytest

from services.chassis import processes
from services.launcher import cluster
from tests.fakes import cluster_process


@pytest.fixture
def local(tmp_path: pathlib.Path) -> Iterator[cluster_process.ClusterProcess]:
    started = cluster_process.ClusterProcess(tmp_path / "home")
    yield started
    started.close()


def _alive(found: cluster.Cluster) -> set[str]:
    return {name for name, process in found.processes.items() if process.alive}


def test_up_status_down_and_up_again(local: cluster_process.ClusterProcess) -> None:
    said = local.up().stderr
    assert f"127.0.0.1:{local.control_port}" in said
    assert stat.S_IMODE(local.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((local.home / "cluster.json").stat().st_mode) == 0o600
    before, pids = local.state(), local.pids()
    assert set(pids) == set(cluster.SERVICES)
    assert "running already" in local.up().stderr
    assert local.pids() == pids
    status = local.status()
    assert status["running"]
    assert [row["pid"] for row in status["services"]] == [pids[name] for name in cluster.SERVICES]
    local.run("down", "--timeout", "1")
    assert _alive(local.state()) == set()
    assert not local.state().running
    local.run("down")
    # Without flags: the addresses are remembered.
    local.run("up", "--timeout", "20")
    assert local.state().addresses == before.addresses
    local.run("down", "--timeout", "1")


def test_two_ups_at_once_start_one_cluster(local: cluster_process.ClusterProcess) -> None:
    ports = ("--data-port", str(local.data_port), "--control-port", str(local.control_port))
    both = [local.start("up", *ports, "--timeout", "20") for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("running already" in words for words in said) == 1


def test_a_dead_service_comes_back_and_nobody_else_moves(local: cluster_process.ClusterProcess) -> None:
    local.up()
    before = local.pids()
    os.kill(before["gateway"], signal.SIGKILL)
    found = local.until(lambda c: c.processes["gateway"].restarts == 1 and c.processes["gateway"].alive)
    assert "signal 9" in found.processes["gateway"].last_exit
    after = local.pids()
    assert after["gateway"] != before["gateway"]
    assert {name: pid for name, pid in after.items() if name != "gateway"} == {
        name: pid for name, pid in before.items() if name != "gateway"
    }


def test_a_killed_supervisor_takes_nobody_along_and_the_next_adopts(local: cluster_process.ClusterProcess) -> None:
    local.up()
    before, supervisor = local.pids(), local.state().supervisor
    assert supervisor is not None
    processes.send_signal(supervisor, signal.SIGKILL)
    local.until(lambda found: not found.running)
    assert local.pids() == before
    local.up()
    assert local.pids() == before
    assert local.state().running
    # What was adopted is watched like a child.
    os.kill(before["monitor"], signal.SIGKILL)
    local.until(lambda found: found.processes["monitor"].alive and found.processes["monitor"].restarts == 1)


def test_down_without_a_supervisor_still_ends_everything(local: cluster_process.ClusterProcess) -> None:
    local.up()
    supervisor = local.state().supervisor
    assert supervisor is not None
    processes.send_signal(supervisor, signal.SIGKILL)
    local.until(lambda found: not found.running)
    local.run("down", "--timeout", "1")
    assert _alive(local.state()) == set()


def test_a_service_held_down_stays_down_over_a_restart(local: cluster_process.ClusterProcess) -> None:
    local.up()
    local.run("stop-service", "apiserver")
    assert "apiserver" not in local.pids()
    supervisor = local.state().supervisor
    assert supervisor is not None
    processes.send_signal(supervisor, signal.SIGKILL)
    local.until(lambda found: not found.running)
    assert "held down" in local.up().stderr
    assert "apiserver" not in local.pids()
    local.run("start-service", "apiserver")
    assert "apiserver" in local.pids()
    local.run("stop-service", "nonsense", expect=1)


def test_the_terminal_may_close(local: cluster_process.ClusterProcess) -> None:
    local.up()
    before, supervisor = local.pids(), local.state().supervisor
    assert supervisor is not None
    processes.send_signal(supervisor, signal.SIGHUP)
    os.kill(before["node"], signal.SIGKILL)
    local.until(lambda found: found.processes["node"].restarts == 1 and found.processes["node"].alive)
    assert local.state().supervisor == supervisor


def test_a_taken_port_is_named_with_its_holder_and_the_way_out(local: cluster_process.ClusterProcess) -> None:
    with socket.create_server(("127.0.0.1", local.data_port)):
        said = local.up(expect=1).stderr
    assert f"127.0.0.1:{local.data_port} is taken by pid {os.getpid()}" in said
    assert "--data-port" in said


def test_run_stays_in_the_foreground_until_interrupted(local: cluster_process.ClusterProcess) -> None:
    ports = ("--data-port", str(local.data_port), "--control-port", str(local.control_port))
    process = local.start("run", *ports)
    path = local.home / "cluster.json"
    while not path.exists() or _alive(local.state()) != set(cluster.SERVICES):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert _alive(local.state()) == set()
