"""From bytes of a log file to an entry. Never fails: what is not a JSON object of ours is shown as it is.

This runs once per line of every tail, so it avoids what it can: one decode, no datetime for the usual form of time.
"""

import calendar
import datetime
import functools
import json
import math
from typing import Any

import msgspec

from services.logstream import model

_DECODE = msgspec.json.Decoder().decode
_LEVELS = {
    "debug": "debug", "trace": "debug", "info": "info", "notice": "info", "warning": "warning", "warn": "warning",
    "error": "error", "critical": "error", "fatal": "error", "exception": "error",
}  # fmt: skip
_DEEPEST = 10
_KNOWN = ("worker", "source", "trace_id", "span_id", "request_id")


def parse(raw: bytes, fallback_ns: int, *, cut: bool = False) -> model.Entry:
    """`fallback_ns` is the time of a line that tells none. `cut` says that `raw` is only the head of a longer line."""
    fields = _salvage(raw) if cut else _object(raw)
    if fields is None:
        return model.Entry(time_ns=fallback_ns, message=raw.decode("utf-8", "replace").rstrip("\r"))
    time_ns = _time_ns(fields.pop("time", None))
    entry = model.Entry(
        time_ns=fallback_ns if time_ns is None else time_ns,
        level=_level(fields.pop("level", "info")),
        message=_text(fields.pop("message")) if "message" in fields else raw.decode("utf-8", "replace"),
        worker=_text(fields.pop("worker", "")),
        source=_text(fields.pop("source", "stdout")),
        trace_id=_text(fields.pop("trace_id", "")),
        span_id=_text(fields.pop("span_id", "")),
        request_id=_text(fields.pop("request_id", "")),
    )
    if fields:
        _rest(entry, fields)
    return entry


def _rest(entry: model.Entry, fields: dict[str, Any]) -> None:
    dropped = fields.get("dropped")
    if entry.source == "cortex" and type(dropped) is int and dropped > 0:
        entry.lost, entry.loss = dropped, entry.message or "the replica dropped log lines"
        return
    entry.fields = {key: _bounded(value, 1) for key, value in fields.items()}


def _object(raw: bytes) -> dict[str, Any] | None:
    if raw[:1] != b"{":
        return None
    try:
        decoded = _DECODE(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _salvage(head: bytes) -> dict[str, Any] | None:
    """Reads the head of a line that is too long by closing the string it was cut in: time and level come first."""
    text = head.decode("utf-8", "ignore")
    for end in range(len(text), max(0, len(text) - 13), -1):
        fields = _object(text[:end].encode() + b'"}')
        if fields is not None:
            return fields
    return None


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    return "" if value is None else json.dumps(value)


def _level(value: Any) -> str:
    if type(value) is not str:
        return "info"
    return _LEVELS.get(value, "") or _LEVELS.get(value.lower(), "info")


def _time_ns(value: Any) -> int | None:
    """`2026-11-21T01:42:09.123456Z` by slicing, any other ISO 8601 form by datetime."""
    if type(value) is not str:
        return None
    try:
        if len(value) == 27 and value[26] == "Z" and value[19] == ".":
            return _second(value[:19]) * 1_000_000_000 + int(value[20:26]) * 1000
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    seconds = calendar.timegm(moment.utctimetuple())
    return seconds * 1_000_000_000 + moment.microsecond * 1000 if seconds >= 0 else None


@functools.lru_cache(maxsize=4096)
def _second(text: str) -> int:
    """Lines of one second share it, so nearly every call is a look-up."""
    seconds = calendar.timegm(datetime.datetime.fromisoformat(text).timetuple())
    if seconds < 0:
        raise ValueError(text)
    return seconds


def _bounded(value: Any, depth: int) -> Any:
    """A protobuf Struct nested deeper than its readers' limit would be unreadable, so what is deeper becomes text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if not isinstance(value, dict | list):
        return value
    if depth >= _DEEPEST:
        return json.dumps(value)
    if isinstance(value, list):
        return [_bounded(item, depth + 1) for item in value]
    return {str(key): _bounded(item, depth + 1) for key, item in value.items()}
