"""Where models come from. A source lists its files; those on this machine's disk are served from where they lie."""

import os
import pathlib
from collections.abc import Iterator
from typing import Protocol

from runtime.models.layout import File


class SourceError(Exception):
    """The source cannot be read. `is_final` where trying again helps nobody: no such place, no permission."""

    def __init__(self, text: str, *, is_final: bool) -> None:
        super().__init__(text)
        self.is_final = is_final


class Source(Protocol):
    """One location."""

    url: str
    is_local: bool  # its files are already here
    is_fixed: bool  # its files never change, so nobody need look again

    def files(self) -> list[File]:
        """Blocking. Raises SourceError."""
        ...


class DiskSource:
    """A file or folder of this machine."""

    is_local = True

    def __init__(self, path: pathlib.Path, *, is_fixed: bool) -> None:
        self.path = path
        self.url = str(path)
        self.is_fixed = is_fixed

    def files(self) -> list[File]:
        try:
            if self.path.is_file():
                return [_file("", self.path.stat())]
            if not self.path.is_dir():
                raise SourceError(f"models: there is no file or folder {self.path}", is_final=True)
            return sorted(_walk(self.path), key=lambda file: file.path)
        except OSError as error:
            raise SourceError(f"models: {self.path} cannot be read: {error.strerror}", is_final=True) from None


def _walk(folder: pathlib.Path) -> Iterator[File]:
    # The links of a Kubernetes volume are folders to the user.
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                path = pathlib.Path(parent, name)
                yield _file(path.relative_to(folder).as_posix(), path.stat())


def _file(name: str, stat: os.stat_result) -> File:
    return File(name, stat.st_size, f"{stat.st_ino}:{stat.st_mtime_ns}")


def in_project(project: pathlib.Path, location: str) -> pathlib.Path:
    """The path of a file of the project. Raises SourceError for one outside of it."""
    root = project.resolve()
    path = (root / location).resolve()
    if not path.is_relative_to(root):
        raise SourceError(
            f"models: {location!r} lies outside the project; name an absolute path or a URL", is_final=True
        )
    return path


def open_source(location: str, project: pathlib.Path) -> Source:
    """Raises SourceError for a location of no known kind."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        if location.startswith("/"):
            return DiskSource(pathlib.Path(location), is_fixed=False)
        return DiskSource(in_project(project, location), is_fixed=True)
    if scheme == "file":
        return DiskSource(pathlib.Path("/" + rest.lstrip("/")), is_fixed=False)
    raise SourceError(f"models: {location!r}: expected a path, file:// or s3://", is_final=True)
