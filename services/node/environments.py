"""Virtual environments, one per distinct set of requirements: built once, complete or not used, shared by replicas.

A virtual environment cannot be moved, so it is built in place; a marker written last says that it is whole. A file lock
per environment keeps two builders apart, and an orphaned one of a node that was killed.
"""

import asyncio
import contextlib
import fcntl
import json
import math
import os
import pathlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import IO

from services.node import failures, frameworks, installer, model, recipe, records, requirements

_MARKER = ".complete"
_TELL_SECONDS = 0.1


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
            wanted = await asyncio.to_thread(recipe.read, wish, project, self._environ)
        except (requirements.RequirementsError, ValueError) as error:
            raise failures.PreparationFailed(model.Reason.ENVIRONMENT_FAILED, str(error)) from error
        digest = wanted.digest
        target = self._folder / digest
        if not _complete(target):
            once = self._locks.setdefault(digest, asyncio.Lock())
            async with once, self._file_lock(digest, tell) as lock:
                if not _complete(target):
                    await self._build(target, wanted, project, tell, lock)
        os.utime(target)
        return digest, str(target / "venv/bin/python")

    async def _build(
        self,
        target: pathlib.Path,
        wanted: recipe.Recipe,
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
        began = time.monotonic()
        source = await _copied(project, target / "source") if wanted.needs_copy else project
        progress = installer.Progress(tell)
        if wanted.added:
            names = (frameworks.name_of(package) for package in wanted.added)
            tell(f"adding {', '.join(dict.fromkeys(names))}: needed, and in no file of dependencies")
        try:
            for step in recipe.steps(wanted, target / "venv", uv, installer.environment(self._environ)):
                left = self._timeout - (time.monotonic() - began)
                said = progress.line if not step.prefix else _prefixed(step.prefix, tell)
                await installer.run(step, folder=source, on_line=said, timeout=left, keep_open=lock.fileno())
        except failures.PreparationFailed:
            await asyncio.to_thread(shutil.rmtree, target, True)
            raise
        marker = {"python": wanted.base, "requirements": wanted.pip.path if wanted.pip else ""}
        marker |= {"added": " ".join(wanted.added), "seconds": str(time.monotonic() - began)}
        records.write_atomically(target / _MARKER, json.dumps(marker))

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


async def _copied(project: pathlib.Path, copy: pathlib.Path) -> pathlib.Path:
    """Where scripts and builds of local packages run: they write beside what they read, so they get a lasting copy."""
    await asyncio.to_thread(shutil.copytree, project, copy)
    await asyncio.to_thread(_make_writable, copy)
    return copy


def _prefixed(prefix: str, tell: Callable[[str], None]) -> Callable[[str], None]:
    """Tells of lines, but of no more than anybody can follow."""
    last = -math.inf

    def line(text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if text.strip() and now - last >= _TELL_SECONDS:
            last = now
            tell(f"{prefix}: {text.strip()[:200]}")

    return line


def _make_writable(folder: pathlib.Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)


def _complete(target: pathlib.Path) -> bool:
    # The interpreter is looked at too: a Python that was uninstalled takes its environments with it.
    return (target / _MARKER).exists() and (target / "venv/bin/python").exists()
