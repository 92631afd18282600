"""Logs of replicas that are gone: kept for whoever asks what happened, but not all, and not for ever.

They are kept by API, also after its deletion. logstream does not show them as those of a new API of the same name.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import structlog

_log = structlog.get_logger("replica_logs")
_SUFFIX = ".jsonl"


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What is kept of each API, beside the logs of replicas that are there. Nothing `young` is removed: its replica may
    be newer than the list of those that are there."""

    replicas: int = 20
    seconds: float = 7 * 86_400.0
    bytes: int = 256 * 1024**2
    young: float = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Log:
    """`path` is the file being written; `.1` beside it belongs to it. `api` is the folder of its API."""

    path: pathlib.Path
    bytes: int
    written_time: float

    @property
    def replica(self) -> str:
        return self.path.name.removesuffix(_SUFFIX)

    @property
    def api(self) -> pathlib.Path:
        return self.path.parent.parent


def choose(logs: Iterable[Log], held: frozenset[str], limits: Limits, now: float) -> list[Log]:
    """What to remove: per API, what is old, and the oldest of what is too many or too large."""
    gone: dict[pathlib.Path, list[Log]] = {}
    for log in sorted(logs, key=lambda log: log.written_time, reverse=True):
        if log.replica not in held:
            gone.setdefault(log.api, []).append(log)
    return [log for each in gone.values() for log in _beyond(each, limits, now)]


def _beyond(newest_first: Sequence[Log], limits: Limits, now: float) -> Iterator[Log]:
    kept = size = 0
    for log in newest_first:
        age = now - log.written_time
        size += log.bytes
        if age > limits.young and (kept >= limits.replicas or size > limits.bytes or age > limits.seconds):
            yield log
        else:
            kept += 1


def collect(folder: pathlib.Path, held: frozenset[str], now: float, limits: Limits | None = None) -> None:
    """Looks at all logs below `folder`; `held` are the ids of the replicas that are there."""
    for log in choose(found(folder), held, limits or Limits(), now):
        _log.info("removing the log of a replica that is gone", path=str(log.path), bytes=log.bytes)
        for path in (_earlier(log.path), log.path):
            path.unlink(missing_ok=True)
        for parent in (log.path.parent, log.api, log.api.parent):
            # Those that are not empty stay.
            with contextlib.suppress(OSError):
                parent.rmdir()


def found(folder: pathlib.Path) -> list[Log]:
    paths = {path.with_name(path.name.removesuffix(".1")) for path in folder.glob(f"*/*/*/*{_SUFFIX}*")}
    logs = []
    for path in sorted(path for path in paths if path.name.endswith(_SUFFIX)):
        status = []
        for part in (path, _earlier(path)):
            with contextlib.suppress(FileNotFoundError):
                status.append(part.lstat())
        if status:
            logs.append(Log(path, sum(s.st_blocks * 512 for s in status), max(s.st_mtime for s in status)))
    return logs


def _earlier(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".1")
