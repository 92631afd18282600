"""Room for request bodies in memory: one account for all connections of a replica.

Beyond the limit no more is read from callers who are still sending, so their bytes wait in their own machines. One body
may always go on when no whole one is here: else many half bodies could hold all the room and none would get whole.
"""

from typing import Protocol

LEAST_BYTES = 64 * 1024 * 1024
# Smaller bodies are not counted: max_concurrency bounds them well enough, and they are nearly all there are.
FREE_BYTES = 16 * 1024


class Reader(Protocol):
    """A connection with a body that is not whole."""

    def on_room(self) -> None: ...


class Bodies:
    """What is over the limit at worst: one body, and what each connection had read before it heard of it."""

    def __init__(self, max_request_bytes: int) -> None:
        self.limit = max(LEAST_BYTES, 2 * max_request_bytes)
        self.used = 0
        self._whole = 0
        self._first: Reader | None = None  # the one that may go on beyond the limit
        self._waiting: dict[Reader, None] = {}

    @property
    def full(self) -> bool:
        return self.used > self.limit

    def take(self, reader: Reader, size: int) -> bool:
        """Counts what `reader` has read. False: it must not read on before `on_room`."""
        self.used += size
        if not self.full or self._first is reader:
            return True
        if self._first is None and not self._whole:
            self._first = reader
            return True
        self._waiting[reader] = None
        return False

    def keep(self, reader: Reader | None, size: int) -> None:
        """The body is whole, and stays until `give_back`. Bytes that were not taken count from now."""
        self._whole += size
        if reader is None:
            self.used += size
        else:
            self._leave(reader)

    def drop(self, reader: Reader, size: int) -> None:
        """The rest of the body will not come."""
        self.used -= size
        self._leave(reader)

    def give_back(self, size: int) -> None:
        """A whole body is of no more use."""
        self._whole -= size
        self.used -= size
        self._wake()

    def _leave(self, reader: Reader) -> None:
        self._waiting.pop(reader, None)
        if self._first is reader:
            self._first = None
        self._wake()

    def _wake(self) -> None:
        while self._waiting and (not self.full or (self._first is None and not self._whole)):
            reader = next(iter(self._waiting))
            del self._waiting[reader]
            if self.full:
                self._first = reader
            reader.on_room()
