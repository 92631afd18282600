"""When the files of a project change."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable

# Editors write a file in several steps, and a checkout many files: changes this close together are one.
_GATHER_MILLIS = 300
_STEP_MILLIS = 50
# How often is looked whether the folder is still the one that is watched.
_LOOK_MILLIS = 500
_SKIPPED = frozenset({"__pycache__", "node_modules"})


async def changes(folder: pathlib.Path) -> AsyncIterator[None]:
    """One item for each burst of changes below `folder`, and one for each folder that comes to lie there.

    A checkout may delete the folder and bring another one, and a link may be turned: the watch of a folder that is
    gone would be silent for ever. Raises ImportError where nothing can watch.
    """
    import watchfiles

    while True:
        watched, place = _identity(folder), _place(folder)
        if watched is None:
            await asyncio.sleep(_LOOK_MILLIS / 1000)
            continue
        bursts = watchfiles.awatch(
            place,
            watch_filter=_relevant(place),
            debounce=_GATHER_MILLIS,
            step=_STEP_MILLIS,
            rust_timeout=_LOOK_MILLIS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        # Nobody watched until now, so the first look counts as a change.
        begun = False
        # It may go between the two looks at it.
        with contextlib.suppress(FileNotFoundError):
            async with contextlib.aclosing(bursts):
                async for burst in bursts:
                    if burst or not begun:
                        yield None
                    begun = True
                    if _identity(folder) != watched:
                        break


def _place(folder: pathlib.Path) -> pathlib.Path:
    return folder.resolve()


def _identity(folder: pathlib.Path) -> tuple[int, int] | None:
    try:
        info = folder.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _relevant(folder: pathlib.Path) -> Callable[[object, str], bool]:
    def relevant(_: object, path: str) -> bool:
        parts = pathlib.Path(path).relative_to(folder).parts if path.startswith(str(folder)) else ()
        hidden = any(part.startswith(".") and part != ".env" for part in parts)
        return not hidden and not _SKIPPED.intersection(parts) and not path.endswith((".pyc", "~"))

    return relevant
