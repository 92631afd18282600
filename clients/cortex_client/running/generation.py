"""One replica of the project: the platform's runtime as a process of ours, from its start to its end."""

import asyncio
import contextlib
import json
import os
import pathlib
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any

from cortex_client import names
from cortex_client.running import lines, plan, programs
from cortex_client.running.relay import Address

_LONGEST_LINE = 16 * 1024 * 1024
_LOOK_SECONDS = 0.05
_DRAIN_SECONDS = 10.0
_KILL_SECONDS = 3.0


class Generation:
    """`say` gets the lines of its log, ready to print."""

    def __init__(self, folder: pathlib.Path, number: int, say: Callable[[str], None]) -> None:
        self._folder = folder / f"r{number}"
        self._number = number
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._logs: asyncio.Task[None] | None = None
        self.http: Address = ("127.0.0.1", 0)
        self.grpc: Address = ("127.0.0.1", 0)

    async def start(self, project: plan.Project, prepared: plan.Prepared, overrides: Mapping[str, Any]) -> None:
        """`overrides` are fields of the ReplicaConfig that a debugger needs otherwise."""
        self._folder.mkdir(parents=True, mode=0o700)
        self.http, self.grpc = _free(), _free()
        config = self._config(project, prepared) | dict(overrides)
        path = self._folder / "replica.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        self._process = await asyncio.create_subprocess_exec(
            *programs.command("runtime", "--config", str(path), "--parent", str(os.getpid())),
            cwd=self._folder,
            env=dict(prepared.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
            # A Ctrl-C is for the command alone, which then ends its replicas in order.
            process_group=0,
        )
        self._logs = asyncio.create_task(self._read())

    def _config(self, project: plan.Project, prepared: plan.Prepared) -> dict[str, Any]:
        token = self._folder / "admin-token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_urlsafe(32) + "\n")
        return {
            "api": names.api("default", project.api.name),
            "revision": "run",
            "replica": f"{project.api.name}-run-{self._number}",
            "spec": prepared.spec,
            "projectDir": str(project.folder),
            "python": prepared.python,
            "httpAddress": _text(self.http),
            "grpcAddress": _text(self.grpc),
            "stateFile": str(self._folder / "state.json"),
            "drainTimeout": f"{_DRAIN_SECONDS:g}s",
            **prepared.config,
            "adminTokenFile": str(token),
            "standalone": True,
        }

    async def ready(self) -> bool:
        """Waits until it is ready; False when it ended instead, with the reason among its log lines."""
        assert self._process is not None
        while self._process.returncode is None:
            if self._state() == "READY":
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        assert self._logs is not None
        await asyncio.wait([self._logs], timeout=_KILL_SECONDS)
        return False

    async def ended(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Lets it finish what it has begun, and then insists."""
        process = self._process
        if process is None:
            return
        for number, seconds in ((signal.SIGTERM, _DRAIN_SECONDS), (signal.SIGTERM, _KILL_SECONDS), (signal.SIGKILL, 5)):
            if process.returncode is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await process.wait()
        if self._logs is not None:
            await asyncio.wait([self._logs], timeout=1)
            self._logs.cancel()

    def hurry(self) -> None:
        """Ends the drain."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def _state(self) -> str:
        try:
            return str(json.loads((self._folder / "state.json").read_bytes()).get("state", ""))
        except (OSError, ValueError):
            return ""

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for raw in self._process.stdout:
            text = lines.render(raw)
            if text is not None:
                self._say(text)


def _free() -> Address:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
        return host, port


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
