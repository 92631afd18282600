"""A whole Cortex in a folder of its own, started and used the way a user does it: by the `cortex` command."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

BIN = pathlib.Path(sys.executable).parent
PROJECTS = pathlib.Path(__file__).parent / "projects"


class CommandFailed(AssertionError):
    """A command of ours ended with another status than expected; the message has all it said."""


class Cluster:
    """One local cluster under `home`, with its own ports."""

    def __init__(self, home: pathlib.Path, environ: dict[str, str] | None = None) -> None:
        self.home = home
        self.data_address = f"127.0.0.1:{free_port()}"
        self.control_address = f"127.0.0.1:{free_port()}"
        self.environ = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "CORTEX_HOME": str(home / "home"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "NO_COLOR": "1",
            **(environ or {}),
        }

    def run(self, *arguments: str, cwd: pathlib.Path | None = None, timeout: float = 120, status: int = 0) -> str:
        """Runs `cortex ARGUMENTS`; returns its stdout. Raises CommandFailed on another exit status than `status`."""
        done = subprocess.run(
            [str(BIN / "cortex"), *arguments],
            cwd=cwd,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode != status:
            said = f"{done.stdout}\n{done.stderr}"
            raise CommandFailed(f"cortex {' '.join(arguments)} ended with {done.returncode}, not {status}:\n{said}")
        return done.stdout if status == 0 else done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "-o", "json"))

    def up(self) -> float:
        """Starts it; returns the seconds that took."""
        began = time.monotonic()
        ports = [address.rpartition(":")[2] for address in (self.data_address, self.control_address)]
        self.run("up", "--data-port", ports[0], "--control-port", ports[1])
        return time.monotonic() - began

    def down(self) -> None:
        self.run("down", timeout=90)

    def launcher(self, *arguments: str) -> None:
        """The launcher's own verbs, which keep a service down for a fault test."""
        command = [sys.executable, "-m", "services.launcher", *arguments]
        subprocess.run(command, env=self.environ, check=True, capture_output=True, timeout=60)

    def project(self, name: str, **replacements: str) -> pathlib.Path:
        """A copy of a test project, with words of its files replaced."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.home))
        shutil.copytree(PROJECTS / name, folder, dirs_exist_ok=True)
        for path in folder.rglob("*"):
            if path.is_file():
                text = path.read_text()
                for old, new in replacements.items():
                    text = text.replace(old, new)
                path.write_text(text)
        return folder

    def deploy(self, project: pathlib.Path, *arguments: str, status: int = 0) -> str:
        return self.run("deploy", *arguments, cwd=project, status=status)

    def api(self, name: str) -> Any:
        """The Api resource as `cortex get NAME -o json` prints it."""
        return self.json("get", name)

    def services(self) -> dict[str, int]:
        """Process ids of the cluster's own processes."""
        state = json.loads((self.home / "home/cluster.json").read_text())
        return {name: int(service["pid"]) for name, service in state["services"].items()}

    def replica_pids(self, api: str) -> list[int]:
        replicas = self.api(api)["status"].get("replicas", [])
        return [int(replica["pid"]) for replica in replicas if int(replica.get("pid", 0))]


@contextlib.contextmanager
def running(environ: dict[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster that is up; taken down, and its logs printed when the block fails."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="cortex-e2e-"))
    cluster = Cluster(home, environ)
    try:
        cluster.up()
        yield cluster
    except BaseException:
        print_logs(home)
        raise
    finally:
        with contextlib.suppress(CommandFailed, subprocess.TimeoutExpired):
            cluster.down()
        shutil.rmtree(home, ignore_errors=True)


def print_logs(home: pathlib.Path, lines: int = 40) -> None:
    for path in sorted((home / "home/logs").rglob("*.log")) + sorted((home / "home/logs").rglob("*.jsonl")):
        print(f"\n===== {path.relative_to(home)} (last {lines} lines)", file=sys.stderr)
        print("\n".join(path.read_text(errors="replace").splitlines()[-lines:]), file=sys.stderr)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """Process ids of the direct children."""
    found = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def wait_for(condition: Callable[[], Any], what: str, timeout: float = 30.0) -> Any:
    """Polls until `condition` gives something true; returns it. Raises AssertionError naming `what`."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(CommandFailed, OSError, KeyError, json.JSONDecodeError):
            if result := condition():
                return result
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout} s in vain for {what}")


def dead(pid: int) -> bool:
    """Whether the process is gone, or only waits to be reaped."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
