"""Environments and bundles that nobody uses: kept while there is room, since the next deploy may want them again."""

import asyncio
import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import structlog

from services.node import archive

_log = structlog.get_logger("garbage")
# Nothing younger is removed: it may belong to a replica whose preparation is under way.
_YOUNG = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    path: pathlib.Path
    bytes: int
    used_time: float


def choose(entries: Sequence[Entry], in_use: frozenset[str], most: int, now: float) -> list[Entry]:
    """What to remove so that at most `most` bytes are left, longest unused first, nothing that is in use or young."""
    total = sum(entry.bytes for entry in entries)
    chosen = []
    for entry in sorted(entries, key=lambda entry: entry.used_time):
        if total <= most:
            break
        if entry.path.name not in in_use and now - entry.used_time > _YOUNG:
            chosen.append(entry)
            total -= entry.bytes
    return chosen


def leftovers(folder: pathlib.Path, now: float) -> list[pathlib.Path]:
    """What broken work left behind: half-unpacked bundles and half-downloaded ones, a day old."""
    found = [*folder.glob("*.new-*"), *folder.glob("*.part"), *folder.glob("*.zip")]
    return [path for path in found if (used := _used_time(path)) is not None and now - used > 86_400]


async def keep_collecting(
    interval: float, in_use: Callable[[], frozenset[str]], collect: Callable[[frozenset[str]], None]
) -> None:
    """Every `interval` seconds. Whatever goes wrong with that is told and ends nothing."""
    while True:
        await asyncio.sleep(interval)
        try:
            # Asked here, on the loop that changes what is asked about.
            await asyncio.to_thread(collect, in_use())
        except Exception:
            _log.exception("nothing more is collected before the next look")


class Collector:
    """Environments and bundles in `folders`; `in_use` are the names of those that replicas need."""

    def __init__(
        self,
        folders: Sequence[pathlib.Path],
        *,
        most: int,
        now: Callable[[], float],
    ) -> None:
        self._folders = folders
        self._most = most
        self._now = now

    def collect(self, in_use: frozenset[str]) -> None:
        now = self._now()
        entries = [entry for folder in self._folders for entry in _measure(folder)]
        for entry in choose(entries, in_use, self._most, now):
            _log.info("removing", path=str(entry.path), bytes=entry.bytes)
            archive.remove(entry.path)
        for path in (path for folder in self._folders for path in leftovers(folder, now)):
            _log.info("removing what broken work left", path=str(path))
            archive.remove(path) if path.is_dir() else path.unlink(missing_ok=True)


def _measure(folder: pathlib.Path) -> list[Entry]:
    found = []
    for path in folder.iterdir():
        # A build that failed is removed by its builder, perhaps now.
        if path.is_dir() and ".new-" not in path.name and (used := _used_time(path)) is not None:
            found.append(Entry(path, _size(path), used))
    return found


def _used_time(path: pathlib.Path) -> float | None:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return None


def _size(folder: pathlib.Path) -> int:
    """Bytes on disk that removing the folder frees: files with other hard links (uv's cache) are not counted whole."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                stat = os.lstat(os.path.join(path, name))  # noqa: PTH118  # a hot loop over many files
            except FileNotFoundError:
                continue
            total += stat.st_blocks * 512 // stat.st_nlink
    return total
