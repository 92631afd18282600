"""Which files of a project folder go to the platform: as the ancestor chose, with Git's meaning of `.cortexignore`."""

import dataclasses
import os
import pathlib
import stat
from collections.abc import Iterator

from cortex_client.project import errors

MOST_FILES = 100_000
_GENERATED = (".pyc", ".pyo", ".pyd")
IGNORE_FILE = ".cortexignore"


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """`path` is where it lies here, `name` its place in the bundle (with `/`)."""

    name: str
    path: pathlib.Path
    size: int
    executable: bool


def collect(folder: pathlib.Path, exclude: pathlib.Path | None = None) -> list[File]:
    """The files by name. `exclude` is the YAML file itself. Raises BundleInvalid."""
    if not folder.is_dir():
        raise errors.BundleInvalid(f"the project {folder} is not a folder")
    root = folder.resolve()
    walk = _Walk(root, exclude.resolve() if exclude else None, _ignored(root))
    found = []
    for file in walk.files(root, "", frozenset({root})):
        found.append(file)
        if len(found) > MOST_FILES:
            raise errors.BundleInvalid(
                f"the project {root} has more than {MOST_FILES} files", hint=f"list what to leave out in {IGNORE_FILE}"
            )
    return sorted(found, key=lambda file: file.name)


class _Ignore:
    """The patterns of .cortexignore; nothing is imported where there are none."""

    def __init__(self, lines: list[str]) -> None:
        self._spec = None
        if lines:
            import pathspec

            self._spec = pathspec.GitIgnoreSpec.from_lines(lines)

    def matches(self, name: str) -> bool:
        return self._spec is not None and self._spec.match_file(name)


def _ignored(root: pathlib.Path) -> _Ignore:
    path = root / IGNORE_FILE
    try:
        return _Ignore(path.read_text("utf-8").splitlines() if path.is_file() else [])
    except (OSError, ValueError) as error:
        raise errors.BundleInvalid(f"{path} cannot be used: {error}") from None


class _Walk:
    def __init__(self, root: pathlib.Path, exclude: pathlib.Path | None, ignore: _Ignore) -> None:
        self._root = root
        self._exclude = exclude
        self._ignore = ignore

    def files(self, folder: pathlib.Path, prefix: str, above: frozenset[pathlib.Path]) -> Iterator[File]:
        """`above` holds the real folders on the way here: a link back to one of them would never end."""
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            name = prefix + entry.name
            path = pathlib.Path(entry.path)
            if self._skips(entry.name, name, path, entry.is_dir()):
                continue
            if entry.is_symlink():
                self._check_link(path, name)
            if entry.is_dir():
                real = path.resolve()
                if real not in above:
                    yield from self.files(path, name + "/", above | {real})
            else:
                yield self._file(path, name)

    def _skips(self, base: str, name: str, path: pathlib.Path, is_folder: bool) -> bool:
        if base.startswith(".") and base != ".env":
            return True
        if is_folder:
            environment = (path / "pyvenv.cfg").is_file() or (path / "conda-meta").is_dir()
            return base == "__pycache__" or environment or self._ignore.matches(name + "/")
        if base.endswith(_GENERATED) or path.resolve() == self._exclude:
            return True
        return self._ignore.matches(name)

    def _check_link(self, path: pathlib.Path, name: str) -> None:
        target = path.resolve()
        hint = f"copy the file into the project, or list the link in {IGNORE_FILE}"
        if not target.is_relative_to(self._root):
            raise errors.BundleInvalid(f"{name} is a link to {target}, outside the project", hint=hint)
        if not target.exists():
            raise errors.BundleInvalid(f"{name} is a link to {target}, which does not exist", hint=hint)

    def _file(self, path: pathlib.Path, name: str) -> File:
        try:
            name.encode()
            info = path.stat()
        except (UnicodeEncodeError, OSError) as error:
            raise errors.BundleInvalid(f"{name!r} cannot be put into the bundle: {error}") from None
        if not stat.S_ISREG(info.st_mode):
            raise errors.BundleInvalid(f"{name} is not a regular file", hint=f"list it in {IGNORE_FILE}")
        return File(name, path, info.st_size, bool(info.st_mode & stat.S_IXUSR))
