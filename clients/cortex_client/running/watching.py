"""When the files of a project change."""

import contextlib
import pathlib
from collections.abc import AsyncIterator

# Editors write a file in several steps, and a checkout many files: changes this close together are one.
_GATHER_MILLIS = 300
_STEP_MILLIS = 50
_SKIPPED = frozenset({"__pycache__", "node_modules"})


async def changes(folder: pathlib.Path) -> AsyncIterator[None]:
    """One item for each burst of changes below `folder`. Raises ImportError where nothing can watch."""
    import watchfiles

    def relevant(_: watchfiles.Change, path: str) -> bool:
        parts = pathlib.Path(path).relative_to(folder).parts if path.startswith(str(folder)) else ()
        hidden = any(part.startswith(".") and part != ".env" for part in parts)
        return not hidden and not _SKIPPED.intersection(parts) and not path.endswith((".pyc", "~"))

    watched = watchfiles.awatch(
        folder, watch_filter=relevant, debounce=_GATHER_MILLIS, step=_STEP_MILLIS, raise_interrupt=False
    )
    async with contextlib.aclosing(watched):
        async for _ in watched:
            yield None
