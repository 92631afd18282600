"""From a project folder to the messages of a deploy: the file read, the folder packed, `.env` merged."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from cortex.apiserver.v1 import api_pb2, spec_pb2
from cortex_client import names
from cortex_client.project import bundle, dotenv, errors, loader
from cortex_client.project.errors import Position, Problem
from cortex_client.project.loader import LoadedApi

DEFAULT_FILE = "cortex.yaml"
_MOST_ENV_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known before the first call. Close it (`with`): it holds the archive."""

    apis: tuple[LoadedApi, ...]
    folder: pathlib.Path
    bundle: bundle.Bundle
    env: Mapping[str, str]

    def message(self, loaded: LoadedApi, namespace: str) -> api_pb2.Api:
        """What is sent for one of the APIs."""
        api = api_pb2.Api(name=names.api(namespace, loaded.name), spec=loaded.spec)
        api.spec.CopyFrom(with_env(loaded.spec, self.env))
        api.spec.bundle_digest = self.bundle.digest
        return api

    def __enter__(self) -> "Prepared":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bundle.archive.close()


def prepare(
    source: str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]], folder: pathlib.Path | None = None
) -> Prepared:
    """Raises ProjectInvalid or BundleInvalid."""
    if isinstance(source, str | os.PathLike):
        path = pathlib.Path(source)
        # A folder called cortex.yaml is a mistake to tell, not a project.
        path = path / DEFAULT_FILE if path.is_dir() and path.name != DEFAULT_FILE else path
        apis, home, exclude = loader.load(path).apis, path.parent, path
    else:
        documents = [source] if isinstance(source, Mapping) else list(source)
        home, exclude = folder or pathlib.Path.cwd(), None
        apis = loader.from_mappings(documents, home)
    env = read_env(home)
    return Prepared(apis, home, bundle.build(home, exclude), env)


def with_env(spec: spec_pb2.ApiSpec, env: Mapping[str, str]) -> spec_pb2.ApiSpec:
    """The spec with the variables of `.env` that it does not set itself."""
    merged = spec_pb2.ApiSpec()
    merged.CopyFrom(spec)
    for key, value in env.items():
        if key not in spec.predictor.env:
            merged.predictor.env[key] = value
    return merged


def read_env(folder: pathlib.Path) -> dict[str, str]:
    """The variables of the folder's `.env`."""
    path = folder / ".env"
    if not path.is_file():
        return {}
    if path.stat().st_size > _MOST_ENV_BYTES:
        raise errors.ProjectInvalid(str(path), [Problem("", Position(), "is larger than 1 MiB")])
    try:
        return dotenv.parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError):
        raise errors.ProjectInvalid(str(path), [Problem("", Position(), "cannot be read as UTF-8 text")]) from None
