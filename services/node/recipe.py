"""What an environment is made of: everything that decides its content, its digest, and the steps that build it."""

import dataclasses
import hashlib
import os
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence

from services.node import carried, conda, frameworks, imports, interpreters, model, requirements, scripts

# Raise when the way environments are built changes, so that old ones are not taken for new ones.
_LAYOUT = 1
_MINOR = re.compile(r"\d+\.\d+")


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """`base` is the interpreter, or a version that only uv may know. `added` are packages that no file lists."""

    base: str
    python_version: str
    pip: requirements.Requirements | None
    conda: conda.Packages | None
    script: scripts.Script | None
    added: tuple[str, ...]
    digest: str
    seeded: bool = False  # with a pip of its own, so that what runs pip installs there and nowhere else

    @property
    def needs_copy(self) -> bool:
        """Whether a step writes into the folder it runs in."""
        return self.script is not None or (self.pip is not None and self.pip.local)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A command. A failure calls it `name`, and ends with `advice`; `environ` is what it sees; `prefix` begins its
    progress."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    prefix: str = ""
    advice: str = ""


def read(wish: model.Wish, project: pathlib.Path, environ: Mapping[str, str]) -> Recipe:
    """Raises RequirementsError, or ValueError for what is no Python version."""
    pip = requirements.read(project, wish.requirements)
    packages = conda.read(project, wish.conda_packages, environ)
    script = scripts.read(project, wish.shell_script)
    base = interpreters.find(wish.python_version, environ.get("PATH", ""))
    listed = (pip.names if pip else frozenset()) | (packages.names if packages else frozenset())
    predictor = wish.spec.get("predictor", {})
    found = imports.Imports()
    if predictor.get("path"):
        found = imports.of(project, predictor.get("pythonPath", ""), predictor["path"])
    added = _added(wish, project, listed, found.modules)
    seeded = found.uses_pip or (script is not None and script.uses_pip)
    parts = [str(_LAYOUT), sys.platform, os.uname().machine, base, pip.digest if pip else ""]
    if pip is not None and pip.local:
        parts.append(wish.bundle)
    for kind, part in (("conda", packages), ("shell", script)):
        parts += [kind, part.digest] if part is not None else []
    parts += ["added", *added] if added else []
    parts += ["pip"] if found.uses_pip else []
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    return Recipe(base, wish.python_version, pip, packages, script, added, digest, seeded)


def _added(wish: model.Wish, project: pathlib.Path, listed: frozenset[str], modules: frozenset[str]) -> tuple[str, ...]:
    """What the project needs, and the ancestor's images had, so that its projects do not list it."""
    framework = frameworks.missing(wish.predictor_type, listed, _repository(wish, project))
    if wish.spec.get("predictor", {}).get("protobufPath"):
        modules |= {"google.protobuf"}
    have = listed | {frameworks.name_of(package) for package in framework}
    return (*framework, *carried.missing(modules, have))


def steps(recipe: Recipe, venv: pathlib.Path, uv: str, environ: Mapping[str, str]) -> list[Step]:
    """In the ancestor's order: an environment, the script, conda's packages, pip's."""
    made = [_environment(recipe, venv, uv, environ)]
    if recipe.script is not None:
        given = scripts.environment(environ, venv)
        made.append(Step(recipe.script.path, scripts.command(recipe.script), given, recipe.script.path))
    if recipe.conda is not None:
        made.append(Step("conda install", conda.install(recipe.conda, venv), environ, recipe.conda.path))
    listed = ["--requirement", recipe.pip.path] if recipe.pip is not None else []
    if listed or recipe.added:
        command = [uv, "pip", "install", "--python", str(venv / "bin/python"), *listed, *recipe.added]
        made.append(Step("uv pip install", command, environ))
    return made


def _environment(recipe: Recipe, venv: pathlib.Path, uv: str, environ: Mapping[str, str]) -> Step:
    if recipe.conda is not None:
        return Step("conda create", conda.create(recipe.conda, venv, _minor(recipe)), environ, "conda")
    seed = ["--seed"] if recipe.seeded else []
    command = [uv, "venv", "--quiet", "--no-project", *seed, "--python", recipe.base, str(venv)]
    advice = ""
    if recipe.base == recipe.python_version:
        there = ", ".join(interpreters.versions(environ.get("PATH", "")))
        advice = f"this machine has Python {there}; name one in predictor.python_version, or install {recipe.base}"
    return Step("uv venv", command, environ, advice=advice)


def _minor(recipe: Recipe) -> str:
    found = _MINOR.match(recipe.python_version)
    return found[0] if found else f"{sys.version_info.major}.{sys.version_info.minor}"


def _repository(wish: model.Wish, project: pathlib.Path) -> pathlib.Path | None:
    """The folder of a Triton repository that lies on this machine."""
    models = wish.spec.get("predictor", {}).get("models", {})
    place = str(models.get("dir", "")).removeprefix("file://")
    folder = project / place
    return folder if place and "://" not in place and folder.is_dir() else None
