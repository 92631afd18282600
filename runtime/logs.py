"""The replica's log: JSON lines from workers and from the front, bounded in memory and on disk.

A thread of its own writes the file, so that a slow or full disk never delays a prediction; lines that do not fit are
counted, and the count is written as a line as soon as that is possible.
"""

import json
import pathlib
import threading
import time
from typing import IO, Any

from runtime.shim import log_lines

MAX_FILE_BYTES = 16 * 1024 * 1024
_MAX_BUFFERED_BYTES = 4 * 1024 * 1024
# Lines gather this long before they are written together.
_GATHER_SECONDS = 0.005
_TRIM = 4096


class LogFile:
    """Lines in, file out. `emit` never blocks and never raises."""

    def __init__(self, path: str, level: str) -> None:
        self._path = pathlib.Path(path) if path else None
        self._lowest = log_lines.LEVELS.get(level, 20)
        self._lines: list[bytes] = []
        self._buffered = 0
        self._dropped = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._file: IO[bytes] | None = None
        self._size = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, line: bytes) -> None:
        """`line` is a JSON object with its line end."""
        with self._lock:
            if self._buffered + len(line) > _MAX_BUFFERED_BYTES:
                self._dropped += 1
                return
            self._lines.append(line)
            self._buffered += len(line)
        self._wake.set()

    def drop(self, count: int) -> None:
        """Somebody upstream lost lines."""
        with self._lock:
            self._dropped += count
        self._wake.set()

    def say(self, level: str, message: str, **fields: Any) -> None:
        """A line of the front itself."""
        self.line(level, message, source="cortex", worker="", **fields)

    def line(self, level: str, message: str, *, source: str, worker: str, **fields: Any) -> None:
        if log_lines.LEVELS.get(level, 40) < self._lowest:
            return
        record = {"time": log_lines.timestamp(time.time()), "level": level, "message": message, "worker": worker}
        record |= {"source": source, "trace_id": "", "span_id": "", "request_id": "", **fields}
        self.emit(json.dumps(record, default=str).encode() + b"\n")

    def close(self, timeout: float = 2.0) -> None:
        """Writes what is left, as far as the disk allows in time."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            # The time limit lets a dropped-lines notice out once the disk has room again.
            self._wake.wait(1.0)
            if not self._closing:
                time.sleep(_GATHER_SECONDS)
            self._wake.clear()
            with self._lock:
                lines, self._lines, self._buffered = self._lines, [], 0
                dropped, self._dropped = self._dropped, 0
            self._write(lines, dropped)
            if self._closing and not self._lines:
                return

    def _write(self, lines: list[bytes], dropped: int) -> None:
        if dropped:
            notice = {"time": log_lines.timestamp(time.time()), "level": "warning", "worker": "", "source": "cortex"}
            notice |= {"message": f"dropped {dropped} log lines", "trace_id": "", "span_id": "", "request_id": ""}
            lines = [json.dumps({**notice, "dropped": dropped}).encode() + b"\n", *lines]
        batch: list[bytes] = []
        size = 0
        lost = 0
        for line in [*lines, b""]:
            if batch and (not line or size + len(line) > 65536):
                lost += 0 if self._append(b"".join(batch), size) else len(batch)
                batch, size = [], 0
            batch.append(line)
            size += len(line)
        if lost:
            with self._lock:
                self._dropped += lost - (1 if dropped else 0) + dropped

    def _append(self, data: bytes, size: int) -> bool:
        try:
            if self._file is None or self._size + size > MAX_FILE_BYTES:
                self._open()
            assert self._file is not None
            written = self._file.write(data)
            if written != size:
                # A full disk took a part; without a line end the next line would join the torn one.
                self._file.write(b"\n")
                return False
            self._size += size
            return True
        except OSError:
            return False

    def _open(self) -> None:
        """Opens the file, or starts a new one and keeps the old as `.1`."""
        if self._path is None:
            self._file, self._size = open(1, "wb", buffering=0, closefd=False), 0  # noqa: SIM115  # stdout
            return
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size >= MAX_FILE_BYTES - 65536:
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        # Unbuffered, so that each batch of whole lines is one write to an O_APPEND file.
        self._file = self._path.open("ab", buffering=0)
        self._size = self._path.stat().st_size


class Tail:
    """The last bytes a worker wrote to stderr: what there is to say about a native crash."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, line: str) -> None:
        self._text = (self._text + line + "\n")[-_TRIM:]

    def __str__(self) -> str:
        return self._text.strip()
