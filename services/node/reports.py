"""Reading what a replica's process writes about itself: state.json and boot.log. Both come from the other side of a
process boundary, so nothing in them is taken on trust."""

import datetime
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from services.node import model

_LARGEST = 256 * 1024
_MESSAGE = 16 * 1024
_REPORTED = (model.State.STARTING, model.State.READY, model.State.UNREADY, model.State.DRAINING)
_STATES = {state.value: state for state in _REPORTED}
_REASONS = {reason.value: reason for reason in model.Reason}


class Reader:
    """Reads a state file again only when it was replaced."""

    def __init__(self) -> None:
        self._seen: dict[pathlib.Path, tuple[tuple[int, int], model.Report | None]] = {}

    def read(self, path: pathlib.Path) -> model.Report | None:
        try:
            stat = path.stat()
            version = (stat.st_ino, stat.st_mtime_ns)
            known = self._seen.get(path)
            if known is not None and known[0] == version:
                return known[1]
            report = parse(path.read_text(errors="replace")) if stat.st_size <= _LARGEST else None
        except OSError:
            return None
        self._seen[path] = (version, report)
        return report

    def forget(self, path: pathlib.Path) -> None:
        self._seen.pop(path, None)


def parse(text: str) -> model.Report | None:
    """None for anything that is not a state file."""
    try:
        value = json.loads(text)
        failure = value.get("failure")
        return model.Report(
            pid=int(value["pid"]),
            state=_STATES.get(str(value["state"]), model.State.STARTING),
            message=str(value.get("message") or "")[:1000],
            failure=_failure(failure) if failure else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _failure(value: Mapping[str, Any]) -> model.Failure:
    message = str(value.get("message") or "")
    if len(message) > _MESSAGE:
        # A traceback says most at its end.
        message = "[...]\n" + message[-_MESSAGE:]
    reason = _REASONS.get(str(value.get("reason")), model.Reason.EXITED)
    return model.Failure(reason, message, _time(value.get("time")), int(value.get("exit_code") or 0))


def _time(value: Any) -> float:
    if isinstance(value, str):
        return datetime.datetime.fromisoformat(value).timestamp()
    return float(value or 0.0)


def tail(path: pathlib.Path, offset: int, *, most: int = 4096, lines: int = 40) -> str:
    """The end of a log, nothing from before `offset`."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(offset if offset <= size else 0, size - most))
            text = file.read(most).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:]).strip()
