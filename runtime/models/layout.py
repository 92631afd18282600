"""From the names of files to models and their versions: the ancestor's layouts. Pure.

A location is one file, a folder of files, or a folder whose sub-folders are whole numbers: its versions. Under `dir`
every sub-folder is such a location.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence

# The version of files that lie in no numbered folder.
UNVERSIONED = "1"


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file of a source. `path` is relative to the location, empty when the location is the file itself; `tag` changes
    whenever the bytes do."""

    path: str
    size: int
    tag: str


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """The files of one version. `root` is where they lie below the location; `problem` says why they make no model."""

    root: str
    files: tuple[File, ...]
    problem: str = ""

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        text = "\n".join(f"{file.path}\0{file.size}\0{file.tag}" for file in self.files)
        return hashlib.sha256(f"{self.root}\n{text}".encode()).hexdigest()


def models(files: Iterable[File], kind: str) -> dict[str, dict[str, Content]]:
    """Models below a `dir`, by name and version. Files beside the folders belong to no model."""
    folders: dict[str, list[File]] = {}
    for file in files:
        name, slash, rest = file.path.partition("/")
        if slash:
            folders.setdefault(name, []).append(dataclasses.replace(file, path=rest))
    return {
        name: {
            version: dataclasses.replace(content, root=f"{name}/{content.root}".rstrip("/"))
            for version, content in versions(below, kind).items()
        }
        for name, below in folders.items()
    }


def versions(files: Sequence[File], kind: str) -> dict[str, Content]:
    """The versions of one model. Where there is a numbered folder, files outside of such folders are no part of it.

    For Triton a model is its folder as a whole: the server reads config.pbtxt and looks after the versions itself.
    """
    if kind == "triton":
        return {UNVERSIONED: _content("", files, kind)} if files else {}
    numbered: dict[str, list[File]] = {}
    for file in files:
        name, slash, rest = file.path.partition("/")
        if slash and is_version(name):
            numbered.setdefault(name, []).append(dataclasses.replace(file, path=rest))
    if numbered:
        return {version: _content(version, below, kind) for version, below in numbered.items()}
    return {UNVERSIONED: _content("", files, kind)} if files else {}


def is_version(name: str) -> bool:
    return name.isascii() and name.isdigit()


def newest_first(found: Mapping[str, object]) -> list[str]:
    return sorted(found, key=lambda version: (int(version), version), reverse=True)


def _content(root: str, files: Sequence[File], kind: str) -> Content:
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return Content(root, ordered, _problem(ordered, kind))


def _problem(files: Sequence[File], kind: str) -> str:
    names = [file.path for file in files]
    if kind == "onnx":
        # A location that is one file has no name below itself; its own name was the user's choice.
        found = [name for name in names if name.endswith(".onnx") or not name]
        if len(found) != 1:
            return f"an ONNX model is one .onnx file (and its external data); found {len(found)}"
    if kind == "tensorflow" and not any(name.rpartition("/")[2] == "saved_model.pb" or not name for name in names):
        return "a TensorFlow model is a SavedModel: saved_model.pb with its variables folder; found no saved_model.pb"
    return ""
