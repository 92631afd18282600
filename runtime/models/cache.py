"""What was fetched, for every replica of this machine: blobs by identity, and trees of links with the user's names.

A tree is one revision. Who uses it holds a shared lock on its pin, which ends with the process whatever happens to it;
only a tree nobody holds is ever removed. Trees longest unused go first, once the cache is full.
"""

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Below this share of its size the cache stops removing, so that it need not begin again at once.
_LOW = 0.9
_SHARE_OF_DISK = 0.9
_FORGOTTEN_SECONDS = 86_400.0


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """What there is: `used` of `budget` bytes, `free` on the disk."""

    used: int
    budget: int
    free: int


class Lock:
    """An advisory lock on a file that may be removed by who holds it alone."""

    def __init__(self, path: pathlib.Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lock(path: pathlib.Path, *, shared: bool = False, wait: bool = True) -> Lock | None:
    """None when it is taken and we do not wait."""
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, mode)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.stat()):
                    return Lock(path, fd)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # it was removed while we waited


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def boot_id() -> str:
    """Another one after each start of the machine: what was not forced to the disk before is then in doubt."""
    with contextlib.suppress(OSError):
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "unknown"


class Cache:
    """Blocking; any process, any thread."""

    def __init__(self, root: pathlib.Path, budget: int) -> None:
        """`budget` 0: nine tenths of the file system."""
        self.root = root
        self.blobs, self.partials, self.trees, self.pins, self.locks = (
            root / name for name in ("blobs", "partial", "trees", "pins", "locks")
        )
        for folder in (self.blobs, self.partials, self.trees, self.pins, self.locks):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._budget = budget

    # Trees.

    def pin(self, tree: str) -> Lock:
        """While it is held, the tree stays."""
        held = lock(self.pins / tree, shared=True)
        assert held is not None
        os.utime(held.path)
        return held

    def intact(self, tree: str) -> bool:
        """Whether the tree is here and its files are as they were verified: size, time, and on the disk for sure."""
        folder = self.trees / tree
        try:
            listed = json.loads((folder / "listing.json").read_text())
            for path, blob in listed.items():
                stat = (folder / "files" / path).stat()
                if not self._matches(self.meta(blob), stat):
                    return False
        except (OSError, ValueError, KeyError):
            return False
        return True

    def files(self, tree: str) -> pathlib.Path:
        """The folder with its files, and nothing else."""
        return self.trees / tree / "files"

    def link(self, tree: str, files: Mapping[str, str]) -> None:
        """Makes the tree from blobs by path. Somebody else may do the same."""
        target, part = self.trees / tree, self.trees / f".{tree}.{os.getpid()}"
        shutil.rmtree(part, ignore_errors=True)
        for path, blob in files.items():
            (part / "files" / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(self.blobs / blob, part / "files" / path)
        (part / "listing.json").write_text(json.dumps(files))
        self._remove_tree(target)
        with contextlib.suppress(OSError):  # another process was faster
            part.rename(target)
        shutil.rmtree(part, ignore_errors=True)

    def drop(self, tree: str) -> bool:
        """Removes a tree and the blobs that only it had, unless somebody holds it."""
        held = lock(self.pins / tree, wait=False)
        if held is None:
            return False
        self._remove_tree(self.trees / tree)
        held.path.unlink(missing_ok=True)
        held.release()
        for path in self._bare_blobs():
            self._remove_blob(path)
        return True

    # Blobs.

    def meta(self, blob: str) -> dict[str, Any]:
        """Raises OSError and ValueError."""
        found: dict[str, Any] = json.loads((self.blobs / f"{blob}.json").read_text())
        return found

    def has(self, blob: str) -> bool:
        try:
            return self._matches(self.meta(blob), (self.blobs / blob).stat())
        except (OSError, ValueError, KeyError):
            return False

    def note(self, blob: str, meta: Mapping[str, Any], *, synced: bool) -> None:
        """Writes down what was verified of a blob, `size` and `mtime_ns` at that time among it."""
        told = {**meta, "boot": "" if synced else boot_id()}
        part = self.blobs / f".{blob}.{os.getpid()}"
        part.write_text(json.dumps(told))
        part.replace(self.blobs / f"{blob}.json")

    @staticmethod
    def _matches(meta: Mapping[str, Any], stat: os.stat_result) -> bool:
        is_same = (meta["size"], meta["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns)
        return is_same and meta["boot"] in ("", boot_id())

    # Room.

    def room(self) -> Room:
        disk = shutil.disk_usage(self.root)
        budget = self._budget or int(disk.total * _SHARE_OF_DISK)
        used = sum(_sizes(self.blobs)) + sum(_sizes(self.partials))
        return Room(used, budget, disk.free)

    @contextlib.contextmanager
    def evicting(self) -> Iterator[None]:
        """One process at a time makes room and takes it."""
        held = lock(self.root / "evict.lock")
        assert held is not None
        try:
            yield
        finally:
            held.release()

    def make_room(self, needed: int, *, on_disk: int = 0) -> bool:
        """Removes what nobody uses until `needed` more bytes fit, and `on_disk` bytes are free. False when they do not.

        Called within `evicting`.
        """
        room = self.room()
        if room.used + needed <= room.budget and room.free >= on_disk:
            return True
        for remove in self._removable():
            remove()
            room = self.room()
            if room.used + needed <= room.budget * _LOW and room.free >= on_disk:
                break
        return room.used + needed <= room.budget and room.free >= on_disk

    def _removable(self) -> Iterator[Callable[[], object]]:
        """What may go, in the order in which it should: what is left of kills, forgotten downloads, trees by last use,
        other downloads."""
        now = time.time()
        for path in self.trees.glob(".*"):
            if now - _age(path) > _FORGOTTEN_SECONDS:
                yield functools.partial(shutil.rmtree, path, ignore_errors=True)
        partials = sorted(self._dead_partials(), key=_age)
        for path in partials:
            if now - _age(path) > _FORGOTTEN_SECONDS:
                yield functools.partial(self._discard, path)
        for path in self._bare_blobs():
            yield functools.partial(self._remove_blob, path)
        for path in sorted(self.pins.iterdir(), key=_age):
            yield functools.partial(self.drop, path.name)
        for path in partials:
            yield functools.partial(self._discard, path)

    def _dead_partials(self) -> list[pathlib.Path]:
        return [path for path in self.partials.iterdir() if path.suffix != ".journal"]

    def _discard(self, path: pathlib.Path) -> None:
        held = lock(self.locks / path.name, wait=False)
        if held is not None:
            path.unlink(missing_ok=True)
            path.with_name(path.name + ".journal").unlink(missing_ok=True)
            held.path.unlink(missing_ok=True)
            held.release()

    def _bare_blobs(self) -> list[pathlib.Path]:
        """Blobs that no tree has. Those of a fetch under way are locked."""
        found = []
        for path in self.blobs.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.suffix != ".json" and not path.name.startswith(".") and path.stat().st_nlink == 1:
                    found.append(path)
        return found

    def _remove_blob(self, path: pathlib.Path) -> None:
        held = lock(self.locks / path.name, wait=False)
        if held is not None:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_nlink == 1:
                    path.with_name(path.name + ".json").unlink(missing_ok=True)
                    path.unlink()
            held.path.unlink(missing_ok=True)
            held.release()

    def _remove_tree(self, folder: pathlib.Path) -> None:
        """First out of sight as a whole: a reader finds all of it or nothing."""
        gone = folder.with_name(f".gone-{folder.name}-{os.getpid()}")
        with contextlib.suppress(OSError):
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _sizes(folder: pathlib.Path) -> Iterator[int]:
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield path.stat().st_size


def _age(path: pathlib.Path) -> float:
    """Time of last use."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
