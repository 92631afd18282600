"""An edit is compiled afresh.

Python takes the bytecode of a source for up to date when size and modification time, in whole seconds, are those it was
compiled from. An edit within the second of the one before (`version = 1`, `version = 2`) is then not seen: fast for a
person, and everyday for what formats on save, generates code or edits by itself.
"""

import contextlib
import glob
import pathlib

from cortex_client.running import plan


def forget(project: plan.Project, before: plan.Project) -> None:
    """Deletes the bytecode of every source that is another one than it was, for all interpreters."""
    for name, version in project.files.items():
        source = pathlib.PurePosixPath(name)
        if source.suffix == ".py" and before.files.get(name) != version:
            for compiled in (project.folder / source.parent / "__pycache__").glob(f"{glob.escape(source.stem)}.*.pyc"):
                # It may be read-only, or gone; Python then judges for itself as it always does.
                with contextlib.suppress(OSError):
                    compiled.unlink()
