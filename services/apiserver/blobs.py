"""`ports.BlobPort` on a local disk: `uploads/<digest>.part` while it grows, `bundles/<digest>.zip` once it is whole.

What `append` returned survives a crash of the machine. A file in `bundles/` is whole and checked: it gets there by a
rename, after its digest was verified. Two uploads of one digest help each other: bytes held already are skipped.
"""

import asyncio
import collections
import contextlib
import errno
import hashlib
import os
import pathlib
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from services.apiserver import errors

CHUNK = 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}


class DiskBlobs:
    """`check` refuses archives that must not be unpacked; `write` is os.write, but for tests of a full disk."""

    def __init__(
        self,
        folder: pathlib.Path,
        check: Callable[[pathlib.Path], None],
        *,
        write: Callable[[int, bytes], int] = os.write,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._uploads = folder / "uploads"
        self._bundles = folder / "bundles"
        self._check = check
        self._write = write
        self._now = now
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        for each in (self._uploads, self._bundles):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def size(self, digest: str) -> int | None:
        """Asking counts as use: whoever hears that a bundle is there relies on it."""
        async with self._lock(digest):
            return await asyncio.to_thread(_used, pathlib.Path(self.path(digest)), self._now())

    async def created(self, digest: str) -> float:
        try:
            return (await asyncio.to_thread(pathlib.Path(self.path(digest)).stat)).st_mtime
        except FileNotFoundError:
            raise missing(digest) from None

    async def committed(self, digest: str) -> int:
        return await asyncio.to_thread(_length, self._part(digest))

    async def append(self, digest: str, offset: int, data: bytes) -> int:
        async with self._lock(digest):
            return await _whole(asyncio.to_thread(self._append, digest, offset, data))

    async def finish(self, digest: str) -> int:
        async with self._lock(digest):
            return await _whole(asyncio.to_thread(self._finish, digest))

    async def discard(self, digest: str) -> None:
        async with self._lock(digest):
            await asyncio.to_thread(self._part(digest).unlink, missing_ok=True)

    async def read(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread(pathlib.Path(self.path(digest)).open, "rb")
        except FileNotFoundError:
            raise missing(digest) from None
        with file:
            await asyncio.to_thread(file.seek, offset)
            while data := await asyncio.to_thread(file.read, CHUNK):
                yield data

    def path(self, digest: str) -> str:
        return str(self._bundles / f"{digest}.zip")

    async def asked_for(self) -> Mapping[str, float]:
        """When each finished bundle was last asked for."""
        return await asyncio.to_thread(lambda: {path.stem: _last_use(path) for path in self._bundles.glob("*.zip")})

    async def remove(self, digest: str, before: float) -> bool:
        """Removes a finished bundle that nobody asked for since `before`; whether it did."""
        path = pathlib.Path(self.path(digest))
        async with self._lock(digest):
            if await asyncio.to_thread(_last_use, path) >= before:
                return False
            await asyncio.to_thread(path.unlink, missing_ok=True)
            return True

    async def sweep(self, before: float) -> None:
        """Removes uploads that nobody went on with since `before`."""
        for part in await asyncio.to_thread(lambda: list(self._uploads.glob("*.part"))):
            async with self._lock(part.stem):
                await asyncio.to_thread(_unlink_older, part, before)

    def _part(self, digest: str) -> pathlib.Path:
        return self._uploads / f"{digest}.part"

    def _lock(self, digest: str) -> asyncio.Lock:
        return self._locks.setdefault(digest, asyncio.Lock())

    def _append(self, digest: str, offset: int, data: bytes) -> int:
        whole = _length(pathlib.Path(self.path(digest)))
        if whole:
            # Another upload of the same was faster.
            return whole
        part = self._part(digest)
        held = _length(part)
        if offset > held:
            raise offset_mismatch(offset, held)
        fresh = data[held - offset :]
        if not fresh:
            return held
        with _disk():
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                self._write_all(handle, fresh)
                os.fsync(handle)
            except OSError:
                # Half a chunk is no promise kept: the next try begins where this one did.
                os.ftruncate(handle, held)
                raise
            finally:
                os.close(handle)
        return held + len(fresh)

    def _write_all(self, handle: int, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._write(handle, bytes(left)) :]

    def _finish(self, digest: str) -> int:
        part, whole = self._part(digest), pathlib.Path(self.path(digest))
        if whole.exists():
            part.unlink(missing_ok=True)
            return whole.stat().st_size
        try:
            found = _digest(part)
        except FileNotFoundError:
            raise offset_mismatch(0, 0) from None
        try:
            if found != digest:
                raise errors.BundleCorrupt(
                    f"the archive's SHA-256 is {found}, its name says {digest}; it changed on the way or while it was "
                    "read: upload it again",
                    metadata={"digest": found},
                )
            self._check(part)
        except errors.CortexError:
            part.unlink(missing_ok=True)
            raise
        with _disk():
            part.rename(whole)
            for folder in (self._bundles, self._uploads):
                _sync_folder(folder)
        return whole.stat().st_size


class Index:
    """Paths inside finished bundles. Bundles never change, so what was read once stays true."""

    def __init__(self, read: Callable[[pathlib.Path], frozenset[str]], *, most: int = 64) -> None:
        self._read = read
        self._most = most
        self._known: collections.OrderedDict[str, frozenset[str]] = collections.OrderedDict()

    async def files(self, path: str) -> frozenset[str]:
        if path not in self._known:
            self._known[path] = await asyncio.to_thread(self._read, pathlib.Path(path))
        self._known.move_to_end(path)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return self._known[path]


def offset_mismatch(offset: int, held: int) -> errors.OffsetMismatch:
    return errors.OffsetMismatch(
        f"the upload goes on at byte {offset}, the server holds {held}; go on at {held}",
        metadata={"committed_bytes": str(held)},
    )


async def _whole(work: "asyncio.Future[int] | collections.abc.Coroutine[object, object, int]") -> int:
    """A thread cannot be cancelled: the lock is kept until it is done, whoever hung up."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise errors.DiskFull(
            "the apiserver's disk is full; what was uploaded so far is kept: free some space and try again"
        ) from error


def _length(path: pathlib.Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _used(path: pathlib.Path, now: float) -> int | None:
    """Notes the use where copies and backups leave it alone: in the time of the last access."""
    try:
        found = path.stat()
        os.utime(path, (max(now, found.st_atime), found.st_mtime))
    except FileNotFoundError:
        return None
    return found.st_size


def _last_use(path: pathlib.Path) -> float:
    found = path.stat()
    return max(found.st_atime, found.st_mtime)


def _unlink_older(path: pathlib.Path, before: float) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_mtime < before:
            path.unlink()


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: pathlib.Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def missing(digest: str) -> errors.NotFound:
    return errors.NotFound(f"there is no bundle sha256:{digest}; upload it", metadata={"digest": digest})


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
