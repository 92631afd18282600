"""What the monitor needs of the world. Adapter: `store/sql.py` (SQLite, PostgreSQL)."""

from collections.abc import Sequence
from typing import Protocol

from services.monitor import model


class HistoryStore(Protocol):
    """Keeps buckets. Raises `errors.Unavailable` or, when the disk is full, `errors.ResourceExhausted`."""

    async def save(self, buckets: Sequence[model.Bucket]) -> None:
        """All or none. A bucket that is kept already is replaced: saving twice does no harm."""
        ...

    async def load(self, spans: Sequence[model.Span], apis: Sequence[str] | None) -> Sequence[model.Bucket]:
        """Buckets within any of the spans, of these APIs (None: of all)."""
        ...

    async def apis(self, since: int) -> Sequence[str]:
        """Names of APIs that have a bucket that began at `since` or later, in order."""
        ...

    async def prune(self, before: int) -> int:
        """Removes buckets that began before; returns how many."""
        ...
