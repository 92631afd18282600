"""A process that brings one revision into the cache: `python -m runtime.models.fetch`, with the job as JSON on stdin.

It is a process of its own so that serving feels nothing of it, and so that it can be ended at any moment: the next one
goes on where it stopped. It reports on stdout, a JSON object per line, and ends when stdin does.
"""

import base64
import binascii
import contextlib
import functools
import json
import os
import pathlib
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runtime.models import cache as caches
from runtime.models.download import Download, Object, is_local, patiently
from runtime.models.object_http import Bucket, Connection, StoreError
from runtime.models.partial import SUMS, DiskFull, Partial

_BATCH = 256
_HEADS = 8
_REPORT_SECONDS = 0.5
_NICE = 5
# Stores keep sums of whole objects in these headers; the first that is there is what parts are summed with.
_OFFERED = tuple((f"x-amz-checksum-{name}", name) for name in ("crc64nvme", "crc32c", "crc32"))

Report = Callable[[dict[str, Any]], None]


class Failed(Exception):
    """`status` as of ModelError; `is_final` where trying again at once changes nothing."""

    def __init__(self, text: str, status: int = 503) -> None:
        super().__init__(text)
        self.status = status


class Mismatch(Failed):
    """What arrived is not what the store has."""


class Fetch:
    """One job: `url`, `bucket`, `tree`, `cache`, `budget`, and `files` with key, path, size, tag and blob each."""

    def __init__(self, job: Mapping[str, Any], environ: Mapping[str, str], report: Report) -> None:
        self._url = job["url"]
        self._files = sorted(job["files"], key=lambda file: file["blob"])
        self._tree = job["tree"]
        self._bucket = Bucket(job["bucket"], environ)
        self._bucket.region = job["region"]
        self._cache = caches.Cache(pathlib.Path(job["cache"]), job["budget"])
        self._report = report
        self._boot = caches.boot_id()
        self._fresh: list[tuple[str, dict[str, Any]]] = []
        self._rng = random.Random()

    def run(self) -> None:
        """Raises Failed, StoreError and OSError."""
        before = 0
        for at in range(0, len(self._files), _BATCH):
            batch = self._files[at : at + _BATCH]
            with contextlib.ExitStack() as locks:
                for blob in dict.fromkeys(file["blob"] for file in batch):
                    locks.callback(self._lock(blob, before).release)
                missing = [file for file in batch if not self._cache.has(file["blob"])]
                try:
                    self._fetch(missing, before)
                except Mismatch:
                    self._fetch(missing, before)
                if at + _BATCH >= len(self._files):
                    self._cache.link(self._tree, {file["path"]: file["blob"] for file in self._files})
            before += sum(file["size"] for file in batch)
        self._report({"ready": True})
        self._sync()

    def _lock(self, blob: str, before: int) -> caches.Lock:
        """Whoever has it fetches it for all of us."""
        while True:
            held = caches.lock(self._cache.locks / blob, wait=False)
            if held is not None:
                return held
            journal = self._cache.partials / f"{blob}.journal"
            self._report({"done": before + _journalled(journal), "shared": True})
            time.sleep(_REPORT_SECONDS)

    def _fetch(self, files: list[dict[str, Any]], before: int) -> None:
        wanted = {file["blob"]: file for file in files if not self._cache.has(file["blob"])}
        objects: dict[str, tuple[Object, str]] = {}
        try:
            expected = self._expected(list(wanted.values()))
            with self._cache.evicting():
                self._make_room(list(wanted.values()))
                for blob, file in wanted.items():
                    told, algorithm = expected[blob]
                    objects[blob] = (Object(file["key"], file["tag"], self._open(blob, file, algorithm)), told)
            self._download([each for each, _ in objects.values()], before)
            for blob, (each, told) in objects.items():
                self._admit(blob, each, told)
        finally:
            for each, _ in objects.values():
                each.partial.close()

    def _expected(self, files: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
        """By blob: the store's own sum of the whole object and its kind; none of old objects and of simpler stores."""
        found: dict[str, tuple[str, str]] = {}

        def ask(some: list[dict[str, Any]]) -> None:
            connection = Connection(self._bucket)
            try:
                for file in some:
                    found[file["blob"]] = patiently(functools.partial(_sum_of, connection, file["key"]), self._rng)
            finally:
                connection.close()

        shares = [files[index::_HEADS] for index in range(min(_HEADS, len(files)))]
        if len(shares) == 1:
            ask(shares[0])
        else:
            from concurrent import futures

            with futures.ThreadPoolExecutor(_HEADS) as pool:
                list(pool.map(ask, shares))
        return found

    def _make_room(self, files: list[dict[str, Any]]) -> None:
        """Raises Failed."""
        missing = sum(self._missing(file) for file in files)
        if not self._cache.make_room(missing):
            raise self._no_room(missing)

    def _missing(self, file: Mapping[str, Any]) -> int:
        path = self._cache.partials / file["blob"]
        size: int = file["size"]
        return max(0, size - (path.stat().st_size if path.exists() else 0))

    def _open(self, blob: str, file: Mapping[str, Any], algorithm: str) -> Partial:
        path = self._cache.partials / blob
        try:
            return Partial(path, file["size"], algorithm, self._boot)
        except DiskFull as full:
            if not self._cache.make_room(self._missing(file), on_disk=full.needed):
                raise self._no_room(full.needed) from None
        try:
            return Partial(path, file["size"], algorithm, self._boot)
        except DiskFull as full:
            raise self._no_room(full.needed) from None

    def _no_room(self, needed: int) -> Failed:
        room = self._cache.room()
        left = max(0, room.budget - room.used)
        return Failed(
            f"no room for {self._url}: {needed} bytes are needed, {left} are left of the {room.budget} that the model "
            f"cache may use, and {room.free} are free on its disk ({self._cache.root}); replicas use the rest. "
            "Free space there, or raise the node's model cache",
            status=507,
        )

    def _download(self, objects: list[Object], before: int) -> None:
        download = Download(self._bucket, objects)
        there = before + sum(each.partial.done_bytes for each in objects)
        with self._reporting(lambda: there + download.received):
            download.run()

    @contextlib.contextmanager
    def _reporting(self, done: Callable[[], int]) -> Iterator[None]:
        over = threading.Event()

        def tell() -> None:
            while not over.wait(_REPORT_SECONDS):
                self._report({"done": done()})

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _admit(self, blob: str, each: Object, expected: str) -> None:
        total, algorithm = each.partial.total(), each.partial.algorithm
        if expected and _decoded(expected) != total:
            each.partial.discard()
            raise Mismatch(
                f"what arrived of {self._url} ({each.key}) does not match the {algorithm} the store has of it"
            )
        sums = [each.partial.done[part.index] for part in each.partial.parts]
        stat = each.partial.publish(self._cache.blobs / blob)
        meta = {
            "url": self._url, "key": each.key, "tag": each.tag, "algorithm": algorithm, "sum": total, "parts": sums,
            "size": stat.st_size, "mtime_ns": stat.st_mtime_ns,
        }  # fmt: skip
        self._cache.note(blob, meta, synced=False)
        self._fresh.append((blob, meta))

    def _sync(self) -> None:
        """To the disk for good, while the replica already loads: until then a reboot makes us fetch it again."""
        for blob, meta in self._fresh:
            with contextlib.suppress(OSError), (self._cache.blobs / blob).open("rb") as file:
                os.fsync(file.fileno())
                self._cache.note(blob, meta, synced=True)


def _sum_of(connection: Connection, key: str) -> tuple[str, str]:
    found = connection.request("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
    if found.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
        for header, algorithm in _OFFERED:
            if header in found:
                return found[header], algorithm
    return "", _OFFERED[0][1]


def _decoded(text: str) -> int:
    try:
        return int.from_bytes(base64.b64decode(text), "big")
    except binascii.Error:
        return -1


def _journalled(path: pathlib.Path) -> int:
    """Bytes that another process has fetched, by its journal."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = path.read_text().splitlines()
        return min(int(lines[0].split(" ")[1]), (len(lines) - 1) * int(lines[0].split(" ")[2]))
    return 0


def _explained(job: Mapping[str, Any], error: StoreError | OSError) -> str:
    if isinstance(error, OSError) and is_local(error):
        where = f"{error.filename2 or error.filename or job['cache']}: {error.strerror}"
        return f"models: {job['url']} cannot be kept in the model cache: {where}"
    from runtime.models.s3 import explain

    return str(explain(job["url"], Bucket(job["bucket"], os.environ), error))


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock a thread that waits would keep beyond the end of the interpreter.
    while os.read(0, 4096):
        continue
    os._exit(1)


def main() -> int:
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if job.get("background"):
        os.nice(_NICE)
    lock = threading.Lock()

    def report(told: dict[str, Any]) -> None:
        with lock:
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()

    try:
        Fetch(job, os.environ, report).run()
    except Failed as error:
        report({"error": str(error), "status": error.status})
        return 1
    except (StoreError, OSError) as error:
        report({"error": _explained(job, error), "status": 507 if is_local(error) else 503})
        return 1
    return 0


assert all(name in SUMS for _, name in _OFFERED)

if __name__ == "__main__":
    sys.exit(main())
