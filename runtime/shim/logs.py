"""What the user's code prints and logs, as JSON lines that know their request.

Lines go to the front over a socket that never blocks: when it is full, the line is counted and dropped, because a
prediction must not wait for a disk. What native code writes to fds 1 and 2 the front reads as it is.
"""

from __future__ import annotations

import contextvars
import io
import json
import logging
import os
import socket
import sys
import threading
import time
import traceback
from typing import Any, TextIO

from .log_lines import LEVELS, timestamp
from .payload import Request

MAX_MESSAGE = 64 * 1024

# What every record has; the rest is what the caller gave as `extra`.
_STANDARD = frozenset([*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"])

current: contextvars.ContextVar[Request | None] = contextvars.ContextVar("cortex_request", default=None)


class LogChannel:
    """The worker's end of the log socket."""

    def __init__(self, sock: socket.socket, worker: str, level: str) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._worker = worker
        self._lock = threading.RLock()
        self._unsent = b""
        self._dropped = 0
        self.lowest = LEVELS.get(level, 20)

    def move(self, sock: socket.socket, worker: str) -> None:
        """In a fork: lines leave by a socket of its own and bear its name."""
        sock.setblocking(False)
        self._sock, self._worker = sock, worker
        self._unsent, self._dropped = b"", 0

    def forked(self) -> None:
        """In a process that the user's code has forked: another thread may have held the lock, and what had not left
        is the worker's to send."""
        self._lock = threading.RLock()
        self._unsent, self._dropped = b"", 0

    def emit(self, level: str, message: str, source: str, fields: dict[str, Any] | None = None) -> None:
        if LEVELS.get(level, 40) < self.lowest:
            return
        request = current.get()
        trace = request.traceparent.split("-") if request is not None and request.traceparent else ()
        line: dict[str, Any] = {
            "time": timestamp(time.time()),
            "level": level,
            "message": message[:MAX_MESSAGE],
            "worker": self._worker,
            "source": source,
            "trace_id": trace[1] if len(trace) > 2 else "",
            "span_id": trace[2] if len(trace) > 2 else "",
            "request_id": request.request_id if request is not None else "",
        }
        if len(message) > MAX_MESSAGE:
            line["truncated"] = True
        for key, value in (fields or {}).items():
            line.setdefault(key, value)
        self._send(json.dumps(line, default=str).encode("utf-8", "replace") + b"\n")

    def _send(self, line: bytes) -> None:
        with self._lock:
            try:
                if self._unsent:
                    self._unsent = self._unsent[self._sock.send(self._unsent) :]
                if self._unsent:
                    self._dropped += 1
                    return
                if self._dropped:
                    line = self._notice() + line
                self._unsent = line[self._sock.send(line) :]
                self._dropped = 0
            except BlockingIOError:
                self._dropped += 1
            except OSError:
                return  # the front is gone, and so is this process soon

    def _notice(self) -> bytes:
        """A line of its own kind; the front adds the number to what it dropped itself."""
        return b'{"cortex_dropped": %d}\n' % self._dropped


class Writer(io.TextIOBase):
    """Stands for sys.stdout or sys.stderr."""

    def __init__(self, channel: LogChannel, source: str, level: str, original: TextIO) -> None:
        self._channel = channel
        self._source = source
        self._level = level
        self._original = original
        self._partial = threading.local()

    @property
    def buffer(self) -> Any:
        """Bytes bypass the lines' ids, as native output does."""
        return self._original.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a constant here
        return "utf-8"

    def fileno(self) -> int:
        return self._original.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        text = str(text)
        lines = (self._take() + text).split("\n")
        for line in lines[:-1]:
            self._emit(line)
        rest = lines[-1]
        if len(rest) > MAX_MESSAGE:
            self._emit(rest)
            rest = ""
        if rest:
            self._keep(rest)
        return len(text)

    def flush(self) -> None:
        """Whole lines have left already; a half line waits for its end or for the end of the request."""

    def finish(self) -> None:
        """Emits what was printed without a line end."""
        rest = self._take()
        if rest:
            self._emit(rest)

    def _emit(self, line: str) -> None:
        if line.strip():
            self._channel.emit(self._level, line.rstrip("\r"), self._source)

    # Two async requests share a thread, two threads share no request: a half line belongs to either.
    def _take(self) -> str:
        request = current.get()
        holder: Any = request if request is not None and self._source == "stdout" else self._partial
        rest: str = getattr(holder, "partial", None) or ""
        if rest:
            holder.partial = None
        return rest

    def _keep(self, rest: str) -> None:
        request = current.get()
        holder: Any = request if request is not None and self._source == "stdout" else self._partial
        holder.partial = rest


class Handler(logging.Handler):
    """Root handler of the standard library's loggers."""

    def __init__(self, channel: LogChannel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
            level = "error" if record.levelno >= 40 else "warning" if record.levelno >= 30 else record.levelname.lower()
            level = level if level in LEVELS else "info" if record.levelno >= 20 else "debug"
            self._channel.emit(level, message, "logging", {"logger": record.name, **_extra(record)})
        except Exception:
            self.handleError(record)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """Fields of the line, as JSON can hold them. Together they are no longer than a message may be."""
    fields, left = {}, MAX_MESSAGE
    for name, value in vars(record).items():
        if name in _STANDARD:
            continue
        try:
            text = json.dumps(value, default=str, allow_nan=False)
        except Exception:  # keys that are no strings, NaN, circles; or the value's own code
            value = text = _shown(value)
        if len(text) > left:
            value = text = text[:left]
        left -= len(text)
        fields[name] = value
    return fields


def _shown(value: Any) -> str:
    """No line is lost for what cannot be shown, such as an object whose database session is over."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def install(channel: LogChannel) -> Writer:
    """Takes over stdout, stderr and the root logger of this process; returns the new stdout."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # the original is a real file here
    out = Writer(channel, "stdout", "info", sys.stdout)
    sys.stdout = out
    sys.stderr = Writer(channel, "stderr", "error", sys.stderr)
    root = logging.getLogger()
    root.handlers[:] = [Handler(channel)]
    root.setLevel(channel.lowest)
    os.environ.setdefault("PYTHONUNBUFFERED", "1")  # for Python programs the user's code starts
    return out
