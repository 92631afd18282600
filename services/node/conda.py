"""Conda packages: which tool installs them, and the commands for it.

No conda is shipped with the platform, and none is downloaded: what is on the machine is used.
"""

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
from collections.abc import Mapping

from services.node import requirements

# The fastest first; all of them take the same options for what is done here.
_TOOLS = ("micromamba", "mamba", "conda")
_USUAL = ("micromamba/bin", "miniforge3/bin", "mambaforge/bin", "miniconda3/bin", "anaconda3/bin")
_VARIABLES = ("CORTEX_CONDA", "MAMBA_EXE", "CONDA_EXE")
_NAME = re.compile(r"\s*(?:[^\s:#]+::)?([A-Za-z0-9_.-]+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Packages:
    """A file of conda packages. `names` are those it lists, normalized."""

    path: str
    digest: str
    names: frozenset[str]
    tool: str


def read(project: pathlib.Path, path: str, environ: Mapping[str, str]) -> Packages | None:
    """The packages of a project, None where it has none. Raises RequirementsError."""
    if not path:
        return None
    text = requirements.text(project, project / path)
    tool = find(environ)
    if tool is None:
        raise requirements.RequirementsError(
            f"{path} lists conda packages, and neither micromamba, mamba nor conda is installed on this machine; "
            "install one of them (CORTEX_CONDA names one elsewhere), or list the packages in requirements.txt instead"
        )
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "@"))]
    names = frozenset(requirements.normalized(found[1]) for line in lines if (found := _NAME.match(line)))
    digest = hashlib.sha256(text.encode() + b"\0" + pathlib.Path(tool).name.encode()).hexdigest()
    return Packages(path, digest, names, tool)


def find(environ: Mapping[str, str]) -> str | None:
    """The tool that a variable names, else one on PATH, else one where installers put it."""
    for variable in _VARIABLES:
        if environ.get(variable) and os.access(environ[variable], os.X_OK):
            return environ[variable]
    home = pathlib.Path(environ.get("HOME", "/nonexistent"))
    places = [environ.get("PATH", ""), *(str(home / folder) for folder in _USUAL), "/opt/conda/bin"]
    found = (shutil.which(tool, path=place) for place in places if place for tool in _TOOLS)
    return next((program for program in found if program), None)


def create(packages: Packages, prefix: pathlib.Path, python: str) -> list[str]:
    """The command for an environment with nothing but Python."""
    return [packages.tool, "create", *_options(packages, prefix), f"python={python}"]


def install(packages: Packages, prefix: pathlib.Path) -> list[str]:
    return [packages.tool, "install", *_options(packages, prefix), "--file", packages.path]


def _options(packages: Packages, prefix: pathlib.Path) -> list[str]:
    # The mamba programs come without a channel; conda has its own, or the user's.
    channel = [] if pathlib.Path(packages.tool).name == "conda" else ["--channel", "conda-forge"]
    return ["--yes", "--quiet", "--prefix", str(prefix), *channel]
