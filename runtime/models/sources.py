"""Where models come from. A source lists its files; those on this machine's disk are served from where they lie."""

import contextlib
import errno
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
            return sorted(_walk(str(self.path), "", (_identity(self.path.stat()),)), key=lambda file: file.path)
        except OSError as error:
            where = error.filename or self.path
            raise SourceError(f"models: {where} cannot be read: {error.strerror}", is_final=True) from None


def _walk(folder: str, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[File]:
    """Links are followed, as those of a Kubernetes volume are folders to the user; `above` keeps them from going round
    in circles. A link that leads nowhere is as little a file as one that was removed since the folder was listed. What
    Python keeps beside code that it has loaded is no change of that code."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__pycache__" or not _is_text(entry.name):
                continue
            try:
                stat = entry.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                continue
            if not entry.is_dir():
                yield _file(below + entry.name, stat)
            elif _identity(stat) not in above:
                with contextlib.suppress(FileNotFoundError):
                    yield from _walk(entry.path, f"{below}{entry.name}/", (*above, _identity(stat)))


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _is_text(name: str) -> bool:
    """No caller can ask for a name that is no UTF-8, and no log or index can tell it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


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
