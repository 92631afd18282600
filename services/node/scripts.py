"""`dependencies.sh`: what stands for it in an environment's digest, and the command that runs it.

It runs once per environment, before anything is installed, in a private copy of the project, as the user the node runs
as. Other files of the project that its text names are part of it: a change of them builds a new environment.
"""

import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping

from services.node import requirements

_WORD = re.compile(r"[A-Za-z0-9_./-]+")
_MOST_WORDS = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Script:
    """`uses_pip`: whether it runs pip."""

    path: str
    digest: str
    uses_pip: bool


def read(project: pathlib.Path, path: str) -> Script | None:
    """The script of a project, None where it has none. Raises RequirementsError."""
    if not path:
        return None
    text = requirements.text(project, project / path)
    digest = hashlib.sha256(text.encode())
    words = _WORD.findall(text)
    for word in sorted(set(words[:_MOST_WORDS])):
        named = project / word
        if word != path and named.is_file() and named.resolve().is_relative_to(project.resolve()):
            digest.update(word.encode() + b"\0")
            with named.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return Script(path, digest.hexdigest(), any(word.rpartition("/")[2] in ("pip", "pip3") for word in words))


def command(script: Script) -> list[str]:
    # -e as the ancestor: the first command that fails ends it, and is what its output ends with.
    return ["bash", "-e", script.path]


def environment(base: Mapping[str, str], venv: pathlib.Path) -> dict[str, str]:
    """The API's Python is the first on the PATH, and apt-get asks nothing."""
    path = f"{venv / 'bin'}:{base.get('PATH', '/usr/bin:/bin')}"
    return {**base, "PATH": path, "VIRTUAL_ENV": str(venv), "DEBIAN_FRONTEND": "noninteractive"}
