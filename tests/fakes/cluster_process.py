"""A cluster of fake services under the real launcher."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from services.chassis import processes
from services.launcher import cluster
from tests.fakes import node_process

_FAKE_SERVICE = pathlib.Path(__file__).with_name("fake_service.py")


class ClusterProcess:
    """Runs `python -m services.launcher ...` against a home of its own."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.data_port, self.control_port = node_process.free_port(), node_process.free_port()
        self.environ = {
            **os.environ,
            "CORTEX_HOME": str(home),
            "CORTEX_SERVICE_COMMAND": f"{sys.executable} {_FAKE_SERVICE} {{name}}",
            "CORTEX_METRICS_ADDRESS": f"127.0.0.1:{node_process.free_port()}",
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "services.launcher", *arguments]
        return subprocess.Popen(
            command,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def run(self, *arguments: str, expect: int = 0) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == expect, f"{arguments}: {process.returncode}\n{out}\n{err}\n{self.log()}"
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def up(self, *, expect: int = 0) -> "subprocess.CompletedProcess[str]":
        ports = ("--data-port", str(self.data_port), "--control-port", str(self.control_port))
        return self.run("up", *ports, "--timeout", "20", expect=expect)

    def state(self) -> cluster.Cluster:
        found = cluster.load(self.home / "cluster.json")
        assert found is not None
        return found

    def pids(self) -> dict[str, int]:
        return {name: p.identity.pid for name, p in self.state().processes.items() if p.identity and p.alive}

    def until(self, wanted: Callable[[cluster.Cluster], bool], timeout: float = 10.0) -> cluster.Cluster:
        began = time.monotonic()
        while not wanted(found := self.state()):
            assert time.monotonic() - began < timeout, self.log()
            time.sleep(0.01)
        return found

    def status(self) -> dict[str, Any]:
        process = self.start("status", "-o", "json")
        out, err = process.communicate(timeout=60)
        assert out, err
        return dict(json.loads(out))

    def log(self) -> str:
        path = self.home / "logs/services/launcher.log"
        return path.read_text()[-4000:] if path.exists() else ""

    def close(self) -> None:
        found = cluster.load(self.home / "cluster.json")
        if found is None:
            return
        for identity in [found.supervisor, *(p.identity for p in found.processes.values())]:
            if identity is not None:
                processes.send_signal(identity, signal.SIGKILL)
