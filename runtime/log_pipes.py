"""Reads what a worker writes: JSON lines on its log socket, anything at all on fds 1 and 2."""

import asyncio
import json

from runtime import logs

_MAX_LINE = 64 * 1024


class JsonLines(asyncio.Protocol):
    """Lines of the shim, passed on as they are."""

    def __init__(self, log: logs.LogFile) -> None:
        self._log = log
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b'{"cortex_dropped"'):
                self._log.drop(int(json.loads(line)["cortex_dropped"]))
            else:
                self._log.emit(line + b"\n")
        if len(self._rest) > 16 * _MAX_LINE:
            self._rest = b""
            self._log.drop(1)


class NativeLines(asyncio.Protocol):
    """Output of native code and of programs the user's code starts: attributed to the worker only."""

    def __init__(self, log: logs.LogFile, *, worker: str, source: str, level: str, tail: logs.Tail | None) -> None:
        self._log = log
        self._worker = worker
        self._source = source
        self._level = level
        self._tail = tail
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)
        if len(self._rest) > _MAX_LINE:
            self._emit(self._rest)
            self._rest = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._emit(self._rest)

    def _emit(self, line: bytes) -> None:
        text = line[:_MAX_LINE].decode("utf-8", "replace").rstrip("\r")
        if not text.strip():
            return
        if self._tail is not None:
            self._tail.add(text)
        self._log.line(self._level, text, source=self._source, worker=self._worker)
