"""The log source of a laptop: files that replicas write under `logs/replicas/<namespace>/<api>/<revision>/`.

No inotify: ten looks a second at a handful of files cost nothing that can be measured, work on every file system, and
see a new replica, a rotation and a removal alike. What comes from a caller never becomes a path, except the API's name,
which has been validated; everything else is compared with what is in the folder.
"""

import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from services.chassis import errors, names
from services.logstream import backwards, filters, model, replica

_SUFFIX = ".jsonl"
_LONGEST_ID = 253
_SETTLED_NS = 3_000_000_000
_CHUNK = 64 * 1024
_READ = 1024 * 1024


class FileSource:
    """`folder` is `$CORTEX_HOME/logs/replicas`. A follower more than `backlog_bytes` behind one replica loses lines."""

    def __init__(self, folder: pathlib.Path, *, slack_ns: int, backlog_bytes: int) -> None:
        self._folder = folder
        self._slack_ns = slack_ns
        self._backlog_bytes = backlog_bytes

    def has_api(self, namespace: str, api: str) -> bool:
        return self._path(namespace, api).is_dir()

    def open(self, query: model.Query, position: Any) -> "FileReader":
        return FileReader(
            self._path(query.namespace, query.api), query, position,
            slack_ns=self._slack_ns, backlog_bytes=self._backlog_bytes,
        )  # fmt: skip

    def _path(self, namespace: str, api: str) -> pathlib.Path:
        assert names.is_label(namespace) and names.is_label(api), "names are validated where they come in"
        return self._folder / namespace / api


class FileReader:
    """Reads the file that is furthest behind first, so that little has to be held to put lines in order."""

    def __init__(
        self, folder: pathlib.Path, query: model.Query, position: Any, *,
        slack_ns: int, backlog_bytes: int, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._query = query
        self._filter = filters.Filter(query)
        self._slack_ns = slack_ns
        self._backlog_bytes = backlog_bytes
        self._clock = clock
        self._live = False
        self._replicas: dict[str, replica.Replica] = {}
        self._strangers: set[str] = set()
        self._searched: dict[str, int] = {}
        self._looked = 0.0
        self._lock = threading.Lock()
        self._begin(_checked(position))

    def read(self) -> model.Chunk:
        with self._lock:
            return self._read()

    def _read(self) -> model.Chunk:
        entries: list[model.Entry] = []
        if self._query.follow:
            self._look()
        budget = _READ
        while budget > 0 and (unread := [one for one in self._replicas.values() if one.unread]):
            behind = min(unread, key=lambda one: one.high_ns)
            entries += behind.read(_CHUNK, self._filter)
            budget -= _CHUNK
        for one in self._replicas.values():
            entries += one.take_losses()
        floor = min((one.high_ns for one in self._replicas.values() if one.unread), default=None)
        self._live = self._live or floor is None
        return model.Chunk(entries, None if floor is None else floor - self._slack_ns)

    def position(self) -> Any:
        return {one.key: one.position() for one in self._replicas.values()}

    def close(self) -> None:
        with self._lock:
            for one in self._replicas.values():
                one.close()
            self._replicas.clear()

    def _begin(self, position: dict[str, list[Any]]) -> None:
        """A tail that does not follow ends at what is there now."""
        self._discover(position)
        for key in position.keys() - self._replicas.keys() - self._strangers:
            self._lost(key)
        if self._query.tail_lines and not position:
            count = self._query.tail_lines
            backwards.start_at_newest(list(self._replicas.values()), count, self._filter, self._slack_ns)

    def _look(self) -> None:
        now = self._clock()
        # While old lines are replayed there is always more to read; ten looks a second are enough then too.
        if now - self._looked < 0.09 and any(one.unread for one in self._replicas.values()):
            return
        self._looked = now
        self._discover({})
        for key, one in list(self._replicas.items()):
            one.refresh(now)
            if self._live and one.unread_bytes() > self._backlog_bytes:
                one.skip(self._backlog_bytes // 2)
            if one.gone:
                del self._replicas[key]

    def _discover(self, position: dict[str, list[Any]]) -> None:
        for revision, name, path in self._files():
            key = f"{revision}/{name}"
            if key in self._replicas or key in self._strangers:
                continue
            one = replica.Replica(revision, name, path)
            one.resume(position.get(key, []))
            if self._query.born_ns and one.began_before(self._query.born_ns):
                one.close()
                self._strangers.add(key)
                continue
            for part in one.generations:
                if part.mtime * 1e9 < self._query.since_ns - self._slack_ns:
                    part.offset = part.size
            self._replicas[key] = one

    def _lost(self, key: str) -> None:
        revision, _, name = key.partition("/")
        if self._selects(revision, name):
            one = replica.Replica(revision, name, self._folder / "gone")
            one.lose("its log was removed since; lines in between may be missing")
            self._replicas[key] = one

    def _files(self) -> Iterator[tuple[str, str, pathlib.Path]]:
        for folder in _entries(self._folder):
            if not folder.is_dir(follow_symlinks=False) or self._query.revision not in ("", folder.name):
                continue
            if self._is_searched(folder):
                continue
            for file in _entries(folder.path):
                name = file.name.removesuffix(".1").removesuffix(_SUFFIX)
                if file.name.startswith(name + _SUFFIX) and self._selects(folder.name, name):
                    yield folder.name, name, pathlib.Path(folder.path, name + _SUFFIX)

    def _is_searched(self, folder: "os.DirEntry[str]") -> bool:
        """Whether nothing has come or gone since the last look: replicas of old revisions are not looked for again and
        again. A change so young that another one may get the same time does not count as seen."""
        try:
            changed = folder.stat(follow_symlinks=False).st_mtime_ns
        except FileNotFoundError:
            return True
        if self._searched.get(folder.name) == changed:
            return True
        if self._clock() * 1e9 - changed > _SETTLED_NS:
            self._searched[folder.name] = changed
        return False

    def _selects(self, revision: str, name: str) -> bool:
        valid = names.is_label(revision, longest=_LONGEST_ID) and names.is_label(name, longest=_LONGEST_ID)
        wanted = self._query.revision in ("", revision) and (not self._query.replicas or name in self._query.replicas)
        return valid and wanted


def _entries(folder: str | pathlib.Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _checked(position: Any) -> dict[str, list[Any]]:
    """A token that opens may still be forged; what does not have our form is refused."""
    if position is None:
        return {}
    if isinstance(position, dict) and all(_is_position(parts) for parts in position.values()):
        return position
    raise errors.InvalidArgument(
        "this resume token is not one of ours; start again without one", reason="INVALID_RESUME_TOKEN"
    )


def _is_position(parts: Any) -> bool:
    return isinstance(parts, list) and all(
        isinstance(part, list) and len(part) >= 3 and all(type(number) is int and number >= 0 for number in part)
        for part in parts
    )
