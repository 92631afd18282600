"""Identities, sessions and death notices, on real processes."""

import dataclasses
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.chassis import processes

_SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
_FAMILY = [sys.executable, "-c", f"import subprocess; subprocess.run({_SLEEP!r})"]


@pytest.fixture
def child() -> "Iterator[subprocess.Popen[bytes]]":
    started = subprocess.Popen(_FAMILY, start_new_session=True)
    yield started
    identity = processes.identify(started.pid)
    if identity is not None:
        processes.kill_session(identity)
    started.wait(10)


def test_an_identity_survives_json_and_names_one_process_only(child: "subprocess.Popen[bytes]") -> None:
    identity = processes.identify(child.pid)
    assert identity is not None
    assert processes.Identity.from_json(identity.to_json()) == identity
    assert processes.alive(identity)
    for other in (
        dataclasses.replace(identity, start_ticks=identity.start_ticks + 1),
        dataclasses.replace(identity, boot_id="another boot"),
    ):
        assert not processes.alive(other)
        assert processes.open_pidfd(other) is None
        assert not processes.send_signal(other, signal.SIGKILL)
    assert processes.alive(identity)


def test_a_zombie_is_not_alive(child: "subprocess.Popen[bytes]") -> None:
    identity = processes.identify(child.pid)
    assert identity is not None
    descriptor = processes.open_pidfd(identity)
    assert descriptor is not None
    processes.kill_session(identity)
    assert select.select([descriptor], [], [], 10)[0]
    os.close(descriptor)
    assert processes.identify(child.pid) == identity  # not reaped yet
    assert not processes.alive(identity)


def test_a_session_dies_whole_even_after_its_leader(child: "subprocess.Popen[bytes]") -> None:
    identity = processes.identify(child.pid)
    assert identity is not None
    while len(processes.session_members(identity)) < 2:
        assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    assert len(processes.session_members(identity)) == 1
    assert processes.kill_session(identity) >= 1
    assert processes.session_members(identity) == []


def test_nobody_of_another_session_is_a_member(child: "subprocess.Popen[bytes]") -> None:
    identity = processes.identify(child.pid)
    assert identity is not None
    assert os.getpid() not in processes.session_members(identity)


def test_memory_and_command_line_of_ourselves() -> None:
    own = os.getpid()
    assert processes.resident_bytes(own) >= processes.proportional_bytes(own) > 1024 * 1024
    assert "pytest" in " ".join(processes.command_line(own)) or processes.command_line(own)[0]
    assert processes.command_line(2**22 + 1) == ()
    assert processes.resident_bytes(2**22 + 1) == 0


def test_an_address_is_free_until_somebody_listens_on_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert not processes.is_free(address)
    assert processes.is_free(address)
    assert not processes.is_free("192.0.2.1:80")


def test_the_parent_of_a_process(child: "subprocess.Popen[bytes]") -> None:
    assert processes.parent(child.pid) == os.getpid()
    assert processes.parent(2**22) == 0
