"""Brings objects here in parts, over several connections at once, each part summed while it streams."""

import dataclasses
import queue
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from runtime.models.object_http import Bucket, Connection, StoreError
from runtime.models.partial import Part, Partial
from services.chassis import backoff

_FIRST_CONNECTIONS = 4
_MOST_CONNECTIONS = 32
# Connections slower than this may be held back by the store, and then more of them bring more; where they do not, it is
# this machine that is at its end.
_FAST_BYTES_PER_SECOND = 150e6
_WORTH_IT = 1.25
_LOOK_SECONDS = 0.4
_TRIES = 8
_RETRY = backoff.Backoff(first=0.2, longest=10.0)

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True, slots=True)
class Object:
    """What to fetch, and where it goes. `tag` is the store's word for this very content."""

    key: str
    tag: str
    partial: Partial


class Download:
    """All missing parts of some objects. `run` blocks; `received` may be read meanwhile."""

    def __init__(self, bucket: Bucket, objects: list[Object]) -> None:
        self._bucket = bucket
        self._work: queue.SimpleQueue[tuple[Object, Part]] = queue.SimpleQueue()
        self._left = 0
        for each in objects:
            for part in each.partial.missing:
                self._work.put((each, part))
                self._left += 1
        self._parts = self._left
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._rng = random.Random()
        self.received = 0

    def run(self) -> None:
        """Raises what the first part that failed for good raised: StoreError, OSError."""
        if not self._left:
            return
        threads: list[threading.Thread] = []
        self._grow(threads, _FIRST_CONNECTIONS)
        best = 0.0
        while (rate := self._rate()) > best * _WORTH_IT and self._wants_more(rate, len(threads)):
            best = rate
            self._grow(threads, len(threads))
        self._over.wait()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _grow(self, threads: list[threading.Thread], count: int) -> None:
        for _ in range(min(count, _MOST_CONNECTIONS - len(threads), self._parts - len(threads))):
            thread = threading.Thread(target=self._run_connection, name=f"part-{len(threads)}", daemon=True)
            threads.append(thread)
            thread.start()

    def _rate(self) -> float:
        """Bytes per second over a moment."""
        before, began = self.received, time.monotonic()
        self._over.wait(_LOOK_SECONDS)
        return (self.received - before) / (time.monotonic() - began)

    def _wants_more(self, rate: float, connections: int) -> bool:
        return rate < _FAST_BYTES_PER_SECOND * connections and not self._over.is_set()

    def _run_connection(self) -> None:
        connection = Connection(self._bucket)
        try:
            while not self._over.is_set():
                try:
                    each, part = self._work.get_nowait()
                except queue.Empty:
                    return
                self._fetch(connection, each, part)
        except BaseException as error:  # whatever it is, who waits for `run` must hear of it
            with self._lock:
                self._failure = self._failure or error
            self._over.set()
        finally:
            connection.close()

    def _fetch(self, connection: Connection, each: Object, part: Part) -> None:
        crc, at, end, failures = 0, part.offset, part.offset + part.size, 0
        while at < end:
            try:
                self._ask(connection, each, at, end)
                for data in connection.chunks():
                    crc = each.partial.add(data, crc)
                    each.partial.write(data, at)
                    at += len(data)
                    self.received += len(data)
                    if self._over.is_set():
                        return
                failures = 0
            except (StoreError, OSError) as error:
                failures += 1
                if failures >= _TRIES or not _may_pass(error):
                    raise
                if self._over.wait(_RETRY.delay(failures - 1, self._rng)):
                    return
        with self._lock:
            each.partial.finish(part, crc)
            self._left -= 1
            if not self._left:
                self._over.set()

    def _ask(self, connection: Connection, each: Object, at: int, end: int) -> None:
        headers = {"range": f"bytes={at}-{end - 1}"}
        if each.tag:
            headers["if-match"] = f'"{each.tag}"'
        found = connection.request("GET", each.key, headers=headers)
        length = int(found.get("content-length", "-1"))
        whole = at == 0 and end == each.partial.size
        given = found.get("content-range", "")
        if length != end - at or not (given.startswith(f"bytes {at}-") or whole):
            sent = f"{given or 'no range'} with {length} bytes" if length >= 0 else "a body without a length"
            text = f"it was asked for the bytes {at}-{end - 1} of {each.key} and sent {sent}"
            raise StoreError(400, text, code="NoRange")


def patiently(ask: Callable[[], Answer], rng: random.Random) -> Answer:
    """What `ask` returns, asked again as long as a store that is busy or away may come back."""
    for failures in range(_TRIES - 1):
        try:
            return ask()
        except (StoreError, OSError) as error:
            if not _may_pass(error):
                raise
        time.sleep(_RETRY.delay(failures, rng))
    return ask()


def is_local(error: BaseException) -> bool:
    """An error of this disk, not of the network."""
    return isinstance(error, OSError) and (error.errno in _DISK_ERRORS or error.filename is not None)


def _may_pass(error: StoreError | OSError) -> bool:
    return not is_local(error) and not (isinstance(error, StoreError) and error.is_final)


_DISK_ERRORS = frozenset({5, 28, 30, 122})  # EIO, ENOSPC, EROFS, EDQUOT
