"""Brings revisions from an object store into the machine's cache, one process per fetch, and holds them there."""

import asyncio
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from runtime.models import cache as caches
from runtime.models.catalog import Revision
from runtime.models.s3 import S3Source
from runtime.models.shelf import FetchError

_ROOT = pathlib.Path(__file__).parents[2]
_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_TAIL = 2000
_LAST_SECONDS = 1.0
# A rate over the last few seconds says more than one over an hour.
_SMOOTHING = 0.3


class NodeStore:
    """Owned by the loop; what blocks runs on threads or in the fetching process."""

    def __init__(self, root: pathlib.Path, budget: int, environ: Mapping[str, str]) -> None:
        self._cache = caches.Cache(root, budget)
        self._budget = budget
        self._environ = environ
        self._pins: dict[Revision, tuple[str, caches.Lock]] = {}
        self._tasks: set[asyncio.Future[Any]] = set()

    async def fetch(self, revision: Revision, progress: Callable[[str], None], *, in_background: bool = False) -> str:
        """Raises FetchError."""
        assert isinstance(revision.source, S3Source)
        try:
            return await self._fetch(revision, revision.source, progress, in_background)
        except OSError as error:
            raise FetchError(f"the model cache at {self._cache.root} cannot be used: {error}", status=507) from None

    def release(self, revision: Revision) -> None:
        held = self._pins.pop(revision, None)
        if held is not None:
            tree, pin = held
            pin.release()
            # On a thread: to remove gigabytes takes a disk its time.
            self._keep(asyncio.ensure_future(asyncio.to_thread(self._cache.drop, tree)))

    async def close(self) -> None:
        """Pins end; what is being forced to the disk has a moment for it."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=_LAST_SECONDS)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        for _, pin in self._pins.values():
            pin.release()

    def _keep(self, task: "asyncio.Future[Any]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(
        self, revision: Revision, source: S3Source, progress: Callable[[str], None], in_background: bool
    ) -> str:
        root, files = revision.content.root, revision.content.files
        tree = caches.digest(source.bucket.endpoint, source.url, root, revision.digest)
        pin = await asyncio.to_thread(self._cache.pin, tree)
        try:
            if not await asyncio.to_thread(self._cache.intact, tree):
                listed = [_file(source, root, file.path, file.size, file.tag) for file in files]
                job = {**self._job(source, tree, listed), "background": in_background}
                await self._run(job, Meter(revision.title, revision.bytes, progress))
        except BaseException:
            pin.release()
            raise
        self._pins[revision] = (tree, pin)
        if len(files) == 1 and not files[0].path:
            root = source.prefix.rpartition("/")[2]
        return str(self._cache.files(tree) / root)

    def _job(self, source: S3Source, tree: str, files: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "url": source.url,
            "bucket": source.bucket.name,
            "region": source.bucket.region,
            "tree": tree,
            "cache": str(self._cache.root),
            "budget": self._budget,
            "files": files,
        }

    async def _run(self, job: Mapping[str, Any], meter: "Meter") -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "runtime.models.fetch",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self._child_environ(), limit=1 << 20,
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        errors = asyncio.ensure_future(process.stderr.read())
        ready = False
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            async for line in process.stdout:
                told = json.loads(line)
                if "error" in told:
                    raise FetchError(told["error"], status=told["status"])
                ready = ready or bool(told.get("ready"))
                if ready:
                    break
                meter.show(told["done"], shared=bool(told.get("shared")))
            if not ready:
                tail = (await errors).decode("utf-8", "replace")[-_TAIL:].strip()
                raise FetchError(f"the process that fetched {job['url']} ended: {tail or 'no word from it'}")
        finally:
            if not ready:
                _kill(process)
            self._keep(asyncio.ensure_future(_reap(process, errors)))

    def _child_environ(self) -> dict[str, str]:
        path = os.pathsep.join(entry for entry in (str(_ROOT), *sys.path) if entry)
        return {**self._environ, "PYTHONPATH": path}


class Meter:
    """How far a fetch is, in words."""

    def __init__(self, title: str, total: int, progress: Callable[[str], None]) -> None:
        self._title = title
        self._total = total
        self._progress = progress
        self._last = (time.monotonic(), -1)
        self._rate = 0.0

    def show(self, done: int, *, shared: bool) -> None:
        now = time.monotonic()
        then, before = self._last
        if before >= 0 and now > then:
            rate = max(0, done - before) / (now - then)
            self._rate = rate if not self._rate else (1 - _SMOOTHING) * self._rate + _SMOOTHING * rate
        self._last = (now, done)
        text = f"model {self._title}: {amount(done)} of {amount(self._total)}"
        if self._rate:
            text += f", {amount(int(self._rate))}/s"
        self._progress(text + (", fetched by another replica" if shared else ""))


def amount(size: int) -> str:
    for unit, factor in _UNITS:
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def _file(source: S3Source, root: str, path: str, size: int, tag: str) -> dict[str, Any]:
    key = source.key(root, path)
    name = f"{root}/{path}".strip("/") or source.prefix.rpartition("/")[2]
    # The tag of an object speaks of its content only within one store, and for some stores only under one key.
    blob = caches.digest(source.bucket.endpoint, source.bucket.name, key, tag, str(size))
    return {"key": key, "path": name, "size": size, "tag": tag, "blob": blob}


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def _reap(process: asyncio.subprocess.Process, errors: "asyncio.Future[bytes]") -> None:
    """It may still be forcing the files to the disk."""
    try:
        await process.wait()
        await errors
    except asyncio.CancelledError:
        _kill(process)
        await process.wait()
        raise
