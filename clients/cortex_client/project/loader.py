"""Reads `cortex.yaml`: the ancestor's files of the Predictor era deploy as they are."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cortex_client import exceptions, names
from cortex_client.project import checking, errors, protos, values
from cortex_client.project.errors import Position, Problem

if TYPE_CHECKING:
    from cortex.apiserver.v1 import spec_pb2

_FILES = (
    "predictor.path",
    "predictor.python_path",
    "predictor.protobuf_path",
    "predictor.dependencies.pip",
    "predictor.dependencies.conda",
    "predictor.dependencies.shell",
)
_DEPLOYMENT_KIND = (
    "`kind: deployment` is the grouping of 0.12; it is gone: remove this entry and keep the APIs, "
    "the namespace (`cortex deploy -n`) takes its place"
)


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedApi:
    """One API of a file. `spec` lacks only the bundle's digest."""

    name: str
    spec: "spec_pb2.ApiSpec"
    file: str
    position: Position
    places: Mapping[str, tuple[str, Position]]

    def place(self, field: str) -> tuple[str, Position]:
        """Where the user wrote what the server calls `field`; its nearest section when it is a default."""
        parts = field.removeprefix("api.").removeprefix("spec.").split(".")
        for length in range(len(parts), 0, -1):
            found = self.places.get(".".join(parts[:length]))
            if found is not None:
                return found
        return ".".join(parts), self.position

    def explain(self, error: exceptions.CortexError) -> exceptions.CortexError:
        """The server's violations as places in the file; an error of another kind keeps its kind."""
        if error.reason == "INVALID_NAME" and names.is_namespace_id(names.namespace_of(error.metadata.get("name", ""))):
            # The namespace is not of the file; what is left to be wrong is the `name` in it.
            written, position = self.place("name")
            return errors.ProjectInvalid(self.file, [Problem(written, position, error.message)])
        if not error.violations:
            return error
        problems = []
        for violation in error.violations:
            written, position = self.place(violation.field)
            problems.append(Problem(written, position, violation.description))
        if isinstance(error, exceptions.Invalid):
            return errors.ProjectInvalid(self.file, problems)
        error.message = "\n".join([error.message, *(problem.describe(self.file) for problem in problems)])
        error.violations = ()
        return error


@dataclasses.dataclass(frozen=True, slots=True)
class Project:
    """The APIs of one file and the folder their code is in."""

    folder: pathlib.Path
    file: pathlib.Path | None
    apis: tuple[LoadedApi, ...]


def load(path: pathlib.Path) -> Project:
    """Raises ProjectInvalid with every problem of the file at once."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(values.MOST_BYTES + 1)
    except IsADirectoryError:
        problem = Problem("", Position(), "is a folder, not a file", "remove or rename it, and write the file")
        raise errors.ProjectInvalid(str(path), [problem]) from None
    except OSError as error:
        hint = "write it, or name the project's folder" if isinstance(error, FileNotFoundError) else ""
        problem = Problem("", Position(), f"cannot be read: {error.strerror or error}", hint)
        raise errors.ProjectInvalid(str(path), [problem]) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Position(raw[: error.start].count(b"\n") + 1, 1)
        raise errors.ProjectInvalid(str(path), [Problem("", place, "is not UTF-8 text")]) from None
    return Project(path.parent, path, parse(text, str(path), path.parent))


def parse(text: str, file: str, folder: pathlib.Path | None = None) -> tuple[LoadedApi, ...]:
    """The APIs of a document: a list of them, or one mapping. With `folder`, paths are checked to exist there."""
    root = values.from_yaml(text, file)
    lines = text.splitlines(keepends=True)
    if isinstance(root.data, dict):
        return _apis([root], [text], file, folder)
    if not isinstance(root.data, list) or not root.data:
        message = f"expected one API or a list of APIs, found {root.describe()}"
        raise errors.ProjectInvalid(file, [Problem("", root.position, message)])
    return _apis(root.data, [_source(lines, item) for item in root.data], file, folder)


def from_mappings(documents: Sequence[Mapping[str, Any]], folder: pathlib.Path | None = None) -> tuple[LoadedApi, ...]:
    """The same from a program's own data."""
    import json

    items = [values.from_python(document) for document in documents]
    sources = [json.dumps(document, indent=2, sort_keys=True) for document in documents]
    return _apis(items, sources, "(api)", folder)


def _source(lines: list[str], item: values.Value) -> str:
    """The words of one item of the list, as the user wrote them."""
    end = item.end_line if item.end_line >= item.position.line else item.position.line
    return "".join(lines[item.position.line - 1 : end])


def _apis(
    items: Sequence[values.Value], sources: Sequence[str], file: str, folder: pathlib.Path | None
) -> tuple[LoadedApi, ...]:
    from cortex_client.project import mapping

    problems: list[Problem] = []
    loaded: dict[str, LoadedApi] = {}
    for item, source in zip(items, sources, strict=True):
        findings = _check(item, folder)
        name = str(findings.settings.get("name", ""))
        if name and name in loaded:
            findings.problems.append(Problem("name", item.position, f"`{name}` is the name of two APIs in this file"))
        problems += findings.problems
        if not findings.problems:
            spec = mapping.to_spec(findings.settings, findings.notices, source)
            loaded[name] = LoadedApi(name, spec, file, item.position, findings.places)
    if problems:
        raise errors.ProjectInvalid(file, problems)
    return tuple(loaded.values())


def _check(item: values.Value, folder: pathlib.Path | None) -> checking.Findings:
    refused = _refused(item)
    if refused is not None:
        return checking.Findings(problems=[refused])
    findings = checking.check(item)
    name = findings.settings.get("name")
    if name is not None and not names.is_api_id(name):
        written, position = findings.places["name"]
        findings.problems.append(Problem(written, position, f"expected {names.API_ID}, found {_shortened(name)}"))
    path = findings.settings.get("predictor.path")
    if path is not None and not path.endswith(".py"):
        written, position = findings.places["predictor.path"]
        hint = "a pickled predictor is not supported" if path.endswith(".pickle") else ""
        findings.problems.append(Problem(written, position, f"expected a .py file, found {path!r}", hint))
    if folder is not None:
        findings.problems += _absent(findings, folder)
        if not findings.problems:
            _take_grpc_path(findings.settings, folder)
    return findings


def _take_grpc_path(settings: dict[str, Any], folder: pathlib.Path) -> None:
    """As in the ancestor, an API with a service of its own is found at /package.Service, the path its callers use."""
    path = settings.get("predictor.protobuf_path")
    if path is None or settings.get("networking.endpoint"):
        return
    with contextlib.suppress(OSError):
        found = protos.service((folder / path).read_text("utf-8", "replace"))
        if found is not None:
            settings["networking.endpoint"] = f"/{found}"


def _shortened(name: str) -> str:
    return repr(name) if len(name) <= 60 else f"{name[:57]!r}... ({len(name)} characters)"


def _refused(item: values.Value) -> Problem | None:
    """An entry whose other fields make no sense to check."""
    if not isinstance(item.data, dict):
        return Problem("", item.position, f"expected an API, found {item.describe()}")
    entry = item.data.get("kind")
    if entry is None or not isinstance(entry.value.data, str):
        return None
    kind = entry.value.data
    if kind == "deployment":
        return Problem("kind", entry.value.position, _DEPLOYMENT_KIND)
    from cortex_client.project import fields

    known = fields.TABLE.children("")["kind"]
    if kind in known.unavailable:
        return Problem("kind", entry.value.position, f"`{kind}` is known, but not available yet", "`RealtimeAPI` is")
    return None


def _absent(findings: checking.Findings, folder: pathlib.Path) -> list[Problem]:
    problems = []
    for target in _FILES:
        name = findings.settings.get(target)
        if name is None:
            continue
        written, position = findings.places[target]
        if pathlib.PurePosixPath(name).is_absolute() or ".." in pathlib.PurePosixPath(name).parts:
            problems.append(Problem(written, position, f"{name!r} leaves the project", "use a path below the project"))
        elif not (folder / name).exists():
            near = checking.suggest(name, [child.name for child in folder.iterdir()] if "/" not in name else [])
            problems.append(Problem(written, position, f"there is no {name!r} in {folder.resolve()}", near))
    return problems
