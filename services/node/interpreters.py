"""Python interpreters on this machine that environments can be built with. None is ever downloaded."""

import pathlib
import re
import sys
from collections.abc import Iterable

# What runs in a worker beside the user's class needs it.
_OLDEST_MINOR = 8
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")


def platform_python() -> pathlib.Path:
    """The interpreter below the platform's own environment."""
    return pathlib.Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")


def find(version: str, path: str) -> str:
    """The interpreter for a wanted version such as `3.11`; the bare version where only uv may know one.

    Raises ValueError for what is no version.
    """
    own = platform_python()
    if not version:
        return str(own)
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not a Python version such as 3.11")
    full = ".".join(str(part) for part in sys.version_info[:3])
    if version in (full, full.rpartition(".")[0]):
        return str(own)
    found = _installed(path).get(".".join(version.split(".")[:2]))
    # A version with a patch level is left to uv: a name like python3.12 does not tell its patch level.
    return str(found) if found is not None and version.count(".") == 1 else version


def versions(path: str) -> tuple[str, ...]:
    """Minor versions that are installed and new enough for a worker, the platform's own first."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    others = sorted(_usable(_installed(path)) - {own}, key=lambda version: int(version.split(".")[1]))
    return (own, *others)


def _usable(versions: Iterable[str]) -> set[str]:
    return {version for version in versions if int(version.partition(".")[2]) >= _OLDEST_MINOR}


def _installed(path: str) -> dict[str, pathlib.Path]:
    """Interpreters beside the platform's (pyenv and uv keep versions in sibling folders) and on PATH."""
    folders = [*sorted(pathlib.Path(sys.base_prefix).parent.glob("*/bin")), *map(pathlib.Path, path.split(":"))]
    found: dict[str, pathlib.Path] = {}
    for folder in folders:
        # A shim is a script that answers for versions it does not have.
        if folder.name == "shims" or not folder.is_dir():
            continue
        for program in sorted(folder.glob("python3.*")):
            version = program.name.removeprefix("python")
            if re.fullmatch(r"3\.\d+", version) and program.exists():
                found.setdefault(version, program)
    return found
