"""What a requirements file stands for: the bytes that decide what is installed, its own and those it includes."""

import dataclasses
import hashlib
import pathlib
import re

_INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)")
# A path, an editable install or a file URL: what is installed then depends on the user's other files.
_LOCAL = re.compile(r"^\s*(?:-e\b|--editable\b|\.{1,2}/|/|\.\s*$|\.\[|file:|[^#]*@\s*(?:file:|\.{1,2}/|/))")
_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_LARGEST = 1024 * 1024
_DEPTH = 8


class RequirementsError(Exception):
    """A file is missing, too large, or outside the project."""


@dataclasses.dataclass(frozen=True, slots=True)
class Requirements:
    """`digest` covers the file and all it includes; `local` says whether it installs from the project's own folder;
    `names` are the packages it lists, normalized."""

    path: str
    digest: str
    local: bool
    names: frozenset[str] = frozenset()


def read(project: pathlib.Path, path: str) -> Requirements | None:
    """The requirements of a project: `path`, or requirements.txt where there is one. Raises RequirementsError."""
    name = path or "requirements.txt"
    if not path and not (project / name).is_file():
        return None
    digest, names = hashlib.sha256(), set[str]()
    local = _scan(project, project / name, digest, names, 0)
    return Requirements(name, digest.hexdigest(), local, frozenset(names))


def normalized(name: str) -> str:
    """One spelling for all spellings of a package's name, as the index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _scan(project: pathlib.Path, file: pathlib.Path, digest: "hashlib._Hash", names: set[str], depth: int) -> bool:
    content = text(project, file)
    digest.update(content.encode() + b"\0")
    if depth > _DEPTH:
        raise RequirementsError(f"{file.name} includes other files more than {_DEPTH} levels deep")
    local = False
    for line in content.splitlines():
        if found := _NAME.match(line):
            names.add(normalized(found[1]))
        local = local or _LOCAL.match(line) is not None
        include = _INCLUDE.match(line)
        if include and "://" not in include[1]:
            local = _scan(project, file.parent / include[1], digest, names, depth + 1) or local
    return local


def text(project: pathlib.Path, file: pathlib.Path) -> str:
    """The content of a file of the bundle. Raises RequirementsError."""
    resolved = file.resolve()
    if not resolved.is_relative_to(project.resolve()):
        raise RequirementsError(f"{file} is outside the project; only files of the bundle can be installed from")
    if not resolved.is_file():
        name = resolved.relative_to(project.resolve())
        raise RequirementsError(f"the bundle holds no {name}; check `dependencies` in cortex.yaml and .cortexignore")
    if resolved.stat().st_size > _LARGEST:
        raise RequirementsError(f"{file.name} is larger than {_LARGEST} bytes")
    return resolved.read_text(errors="replace")
