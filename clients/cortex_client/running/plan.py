"""From a project's folder to what a replica of it is told: read, resolved and prepared as a deploy would."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import json_format

from cortex_client import deploying, exceptions, names
from cortex_client.project import errors, files, loader
from cortex_client.project.errors import Position, Problem
from cortex_client.running import programs

_CODE = (".py", ".proto", ".sh")
_DEPENDENCIES = ("requirements.txt", "conda-packages.txt")


@dataclasses.dataclass(frozen=True, slots=True)
class Project:
    """An API of a file as its user wrote it, and a digest of everything in its folder that would be deployed.

    `files` are what would be deployed, each with a word that is another one after an edit."""

    file: pathlib.Path
    api: loader.LoadedApi
    env: Mapping[str, str]
    files: Mapping[str, str]
    content: str

    @property
    def folder(self) -> pathlib.Path:
        return self.file.parent.resolve()

    def loads_as(self, other: "Project") -> bool:
        """Whether all that decides if and how it loads is the same; what else changed may be what loading writes."""
        return (self.api.spec, self.env, self._code()) == (other.api.spec, other.env, other._code())

    def _code(self) -> dict[str, str]:
        chosen = self.api.spec.predictor.dependencies
        dependencies = {*_DEPENDENCIES, chosen.pip, chosen.conda, chosen.shell}
        return {name: word for name, word in self.files.items() if name.endswith(_CODE) or name in dependencies}


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """`spec` is the resolved one as protobuf JSON; `environ` is what the replica's process gets to see; `config` are
    fields of its ReplicaConfig that depend on the machine."""

    spec: dict[str, Any]
    python: str
    environ: Mapping[str, str]
    config: Mapping[str, Any]
    environment: str = ""  # the folder that `python` lies in, where it was built for this

    def keep(self) -> None:
        """Tells the node's collector of old environments that this one is in use."""
        with contextlib.suppress(OSError):
            if self.environment:
                os.utime(self.environment)


def locate(source: pathlib.Path) -> pathlib.Path:
    """The file that a path means. Raises ProjectInvalid where there is none."""
    in_it = source.is_dir() and source.name != deploying.DEFAULT_FILE
    file = source / deploying.DEFAULT_FILE if in_it else source
    if not file.is_file():
        loader.load(file)
    return file


def read(file: pathlib.Path, name: str) -> Project:
    """Raises ProjectInvalid or BundleInvalid."""
    apis = loader.load(file).apis
    chosen = [api for api in apis if not name or api.name == name]
    if len(chosen) != 1:
        known = ", ".join(api.name for api in apis)
        message = f"there is no API {name!r} here; it has {known}" if name else f"has several APIs: {known}"
        raise errors.ProjectInvalid(str(file), [Problem("", Position(), message, "choose one with --name")])
    found = files.collect(file.parent, file)
    versions = {each.name: f"{each.size}\0{each.path.stat().st_mtime_ns}" for each in found}
    return Project(file, chosen[0], deploying.read_env(file.parent), versions, _digest(file, versions))


def _digest(file: pathlib.Path, versions: Mapping[str, str]) -> str:
    digest = hashlib.sha256(file.read_bytes())
    for name, version in versions.items():
        digest.update(f"{name}\0{version}\n".encode())
    return digest.hexdigest()


async def prepare(project: Project, here: str, tell: Callable[[str], None]) -> Prepared:
    """Raises ProjectInvalid with places in the file, or CortexError with the words of what failed."""
    wish = json_format.MessageToDict(deploying.with_env(project.api.spec, project.env))
    wish["bundleDigest"] = f"sha256:{project.content}"
    question = {"name": names.api("default", project.api.name), "spec": wish, "files": list(project.files)}
    answer = await programs.ask("services.apiserver.resolve", question, tell)
    if "spec" not in answer:
        violations = [exceptions.Violation(v["field"], v["description"]) for v in answer["violations"]]
        refused = exceptions.Invalid(answer["message"], reason=answer["reason"], violations=violations)
        raise project.api.explain(refused)
    spec = answer["spec"]
    question = {"spec": spec, "project": str(project.folder), "content": project.content, "python": here}
    made = await programs.ask("services.node.prepare", question, tell)
    if "python" not in made:
        raise exceptions.CortexError(made["message"], reason=made["reason"])
    return Prepared(spec, made["python"], made["environ"], made["config"], made["environment"])


def interpreter(environ: Mapping[str, str]) -> str:
    """The Python of the environment the user stands in."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        python = pathlib.Path(environ.get(variable) or os.devnull, "bin/python")
        if python.exists():
            return str(python)
    return sys.executable
