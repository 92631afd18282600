"""Virtual environments, one per distinct set of requirements: built once, complete or not used, shared by replicas.

A virtual environment cannot be moved, so it is built in place; a marker written last says that it is whole. A file lock
per environment keeps two builders apart, and an orphaned one of a node that was killed.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import IO

from services.node import failures, installer, interpreters, model, records, requirements

# Raise when the way environments are built changes, so that old ones are not taken for new ones.
_LAYOUT = 1
_MARKER = ".complete"


class Environments:
    """The folder `envs/`. `prepare` may be called at once by many replicas."""

    def __init__(self, folder: pathlib.Path, environ: Mapping[str, str], *, timeout: float) -> None:
        self._folder = folder
        self._environ = environ
        self._timeout = timeout
        self._locks: dict[str, asyncio.Lock] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def prepare(self, wish: model.Wish, project: pathlib.Path, tell: Callable[[str], None]) -> tuple[str, str]:
        """Digest and interpreter of the environment for `wish`. Raises PreparationFailed."""
        try:
            wanted = requirements.read(project, wish.requirements)
            base = interpreters.find(wish.python_version, self._environ.get("PATH", ""))
        except (requirements.RequirementsError, ValueError) as error:
            raise failures.PreparationFailed(model.Reason.ENVIRONMENT_FAILED, str(error)) from error
        digest = _digest(wish, wanted, base)
        target = self._folder / digest
        if not _complete(target):
            once = self._locks.setdefault(digest, asyncio.Lock())
            async with once, self._file_lock(digest, tell) as lock:
                if not _complete(target):
                    await self._build(target, base, wanted, project, tell, lock)
        os.utime(target)
        return digest, str(target / "venv/bin/python")

    async def _build(
        self,
        target: pathlib.Path,
        base: str,
        wanted: requirements.Requirements | None,
        project: pathlib.Path,
        tell: Callable[[str], None],
        lock: IO[bytes],
    ) -> None:
        uv = installer.find_uv(self._environ)
        if uv is None:
            raise failures.PreparationFailed(
                model.Reason.ENVIRONMENT_FAILED, "uv is not installed; install Cortex's own requirements again"
            )
        await asyncio.to_thread(shutil.rmtree, target, True)
        await asyncio.to_thread(target.mkdir)
        venv, began = target / "venv", time.monotonic()
        steps = [[uv, "venv", "--quiet", "--no-project", "--python", base, str(venv)]]
        source = project
        if wanted is not None:
            source = await self._source(project, target, wanted)
            steps.append([uv, "pip", "install", "--python", str(venv / "bin/python"), "--requirement", wanted.path])
        environ = installer.environment(self._environ)
        progress = installer.Progress(tell)
        try:
            for step in steps:
                left = self._timeout - (time.monotonic() - began)
                await installer.run(
                    step, folder=source, environ=environ, on_line=progress.line, timeout=left, keep_open=lock.fileno()
                )
        except failures.PreparationFailed:
            await asyncio.to_thread(shutil.rmtree, target, True)
            raise
        marker = {"python": base, "requirements": wanted.path if wanted else "", "seconds": time.monotonic() - began}
        records.write_atomically(target / _MARKER, json.dumps(marker))

    async def _source(
        self, project: pathlib.Path, target: pathlib.Path, wanted: requirements.Requirements
    ) -> pathlib.Path:
        """Where uv runs: builds of local packages write beside their source, so they get a copy that stays."""
        if not wanted.local:
            return project
        copy = target / "source"
        await asyncio.to_thread(shutil.copytree, project, copy)
        await asyncio.to_thread(_make_writable, copy)
        return copy

    @contextlib.asynccontextmanager
    async def _file_lock(self, digest: str, tell: Callable[[str], None]) -> AsyncIterator[IO[bytes]]:
        with (self._folder / f"{digest}.lock").open("ab") as file:
            async with asyncio.timeout(self._timeout):
                while not _try_lock(file):
                    tell("waiting for another build of this environment")
                    await asyncio.sleep(0.1)
            yield file


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_writable(folder: pathlib.Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)


def _complete(target: pathlib.Path) -> bool:
    # The interpreter is looked at too: a Python that was uninstalled takes its environments with it.
    return (target / _MARKER).exists() and (target / "venv/bin/python").exists()


def _digest(wish: model.Wish, wanted: requirements.Requirements | None, base: str) -> str:
    parts = [str(_LAYOUT), sys.platform, os.uname().machine, base, wanted.digest if wanted else ""]
    if wanted is not None and wanted.local:
        parts.append(wish.bundle)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
