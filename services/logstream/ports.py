"""What logstream needs of the world. Adapters: `files.py` (a laptop's replicas), `apiserver.py`."""

from typing import Any, Protocol

from services.logstream import model


class LogReader(Protocol):
    """One tail in progress. Its calls never overlap; they may block on a disk, so they are made off the loop."""

    def read(self) -> model.Chunk:
        """The next entries, each replica's own in the order they were written. Returns at once when there are none."""
        ...

    def position(self) -> Any:
        """Where to go on so that every entry with `sent` set is left out and no other is: any JSON value."""
        ...

    def close(self) -> None:
        """May be called while `read` runs (its caller went away), and then waits for it."""
        ...


class LogSource(Protocol):
    """Where logs are kept."""

    def has_api(self, namespace: str, api: str) -> bool: ...

    def open(self, query: model.Query, position: Any) -> LogReader:
        """`position` is what an earlier reader of the same API returned, or None. Raises errors.InvalidArgument."""
        ...


class ApiDirectory(Protocol):
    """Knows which APIs exist."""

    async def create_time_ns(self, name: str) -> int | None:
        """When the API was made; None when there is no such API. 0 when nobody knows: the directory did not answer."""
        ...
