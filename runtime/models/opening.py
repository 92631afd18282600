"""Builds the repository of a replica from its settings."""

import pathlib
from collections.abc import Callable

from runtime.config import Settings
from runtime.models import declaration, repository, sources
from runtime.models.catalog import Revision

# What keeps a replica from starting.
FAILURES = (declaration.Invalid, sources.SourceError, repository.FetchError)


class NoStore:
    """For replicas whose models are all on this machine's disk already."""

    async def fetch(self, revision: Revision, progress: Callable[[str], None]) -> str:
        raise repository.FetchError(f"{revision.source.url}: nothing here can fetch that")

    def release(self, revision: Revision) -> None:
        """Nothing is ever kept."""


def open_repository(settings: Settings, say: repository.Say) -> repository.Repository:
    """Raises declaration.Invalid and sources.SourceError."""
    declared = declaration.read(settings.models)
    project = pathlib.Path(settings.setup["project_dir"])
    wanted = {entry.name: entry.location for entry in declared.entries}
    if declared.dir:
        wanted[""] = declared.dir
    opened = {name: sources.open_source(location, project) for name, location in wanted.items()}
    return repository.Repository(declared, kind=settings.predictor_type, opened=opened, store=NoStore(), say=say)
