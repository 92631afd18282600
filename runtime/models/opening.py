"""Builds the repository of a replica from its settings."""

import pathlib
from collections.abc import Callable, Mapping

from runtime.config import Settings
from runtime.models import credentials, declaration, repository, shelf, sources
from runtime.models.catalog import Revision

# What keeps a replica from starting.
FAILURES = (declaration.Invalid, sources.SourceError, shelf.FetchError)


class NoStore:
    """For replicas whose models are all on this machine's disk already."""

    async def fetch(self, revision: Revision, progress: Callable[[str], None], *, in_background: bool = False) -> str:
        raise shelf.FetchError(f"{revision.source.url}: nothing here can fetch that")

    def release(self, revision: Revision) -> None:
        """Nothing is ever kept."""

    async def close(self) -> None:
        """Nothing to close."""


def open_repository(settings: Settings, say: shelf.Say, environ: Mapping[str, str]) -> repository.Repository:
    """Raises declaration.Invalid, sources.SourceError and shelf.FetchError."""
    declared = declaration.read(settings.models)
    environ = _merged(environ, settings.env)
    wanted = {entry.name: entry.location for entry in declared.entries}
    if declared.dir:
        wanted[""] = declared.dir
    project = pathlib.Path(settings.setup["project_dir"])
    opened = {name: _open(location, project, environ) for name, location in wanted.items()}
    is_remote = any(not source.is_local for source in opened.values())
    store = _node_store(settings, environ) if is_remote else NoStore()
    return repository.Repository(declared, kind=settings.predictor_type, opened=opened, store=store, say=say)


def _merged(node: Mapping[str, str], own: Mapping[str, str]) -> Mapping[str, str]:
    """The API's own AWS_* variables come before those of the node. An identity is never mixed from both."""
    if any(own.get(name) for name in credentials.IDENTITY):
        node = {name: value for name, value in node.items() if name not in credentials.IDENTITY}
    return {**node, **{name: value for name, value in own.items() if name.startswith("AWS_")}}


def _open(location: str, project: pathlib.Path, environ: Mapping[str, str]) -> sources.Source:
    if location.startswith("s3://"):
        from runtime.models import s3

        return s3.S3Source(location, environ)
    return sources.open_source(location, project)


def _node_store(settings: Settings, environ: Mapping[str, str]) -> shelf.Store:
    from runtime.models import node_store

    beside = pathlib.Path(settings.state_file or settings.setup["project_dir"]).parent / "models"
    root = pathlib.Path(settings.model_cache_dir or beside)
    try:
        return node_store.NodeStore(root, settings.model_cache_bytes, environ)
    except OSError as error:
        raise shelf.FetchError(f"the model cache at {root} cannot be made: {error}") from None
