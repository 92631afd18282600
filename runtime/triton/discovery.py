"""Finds a Triton Inference Server on this machine: the wheel's on a laptop, NVIDIA's image on a node.

`python -m runtime.triton.discovery --json` tells what there is; `cortex doctor` shows it.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from runtime.triton import interpreter

IMAGE_HOME = "/opt/tritonserver"
HINT = "make triton  # or: uv pip install --target ~/.cortex/triton --no-deps nvidia-pytriton==0.7.0"
_STUB = "triton_python_backend_stub"
_LINKS_PYTHON = re.compile(rb"libpython(3\.\d+)\.so")


@dataclasses.dataclass(frozen=True, slots=True)
class Installation:
    """`stubs` maps a Python minor version such as `3.11` to the executable that runs models in that Python."""

    home: pathlib.Path
    kind: str  # `wheel` or `image`
    version: str
    server: pathlib.Path
    backends: pathlib.Path
    libraries: tuple[pathlib.Path, ...]
    stubs: Mapping[str, pathlib.Path]
    caches: pathlib.Path | None

    @property
    def native(self) -> tuple[str, ...]:
        """Backends that come as shared libraries, such as `onnxruntime` in NVIDIA's image."""
        found = (path.parent.name for path in self.backends.glob("*/libtriton_*.so"))
        return tuple(sorted(name for name in found if name != "python"))

    @property
    def takes_numpy_2(self) -> bool:
        """The stubs of 2.51 and before read numpy 2 arrays wrongly (their elements come out repeated)."""
        major, _, minor = self.version.partition(".")
        return major.isdigit() and (int(major), int(minor.partition(".")[0] or 0)) > (2, 51)

    def refuses(self, python: interpreter.Interpreter) -> str:
        """Why models cannot run in `python` under this server; empty when they can."""
        if python.minor not in self.stubs:
            return f"{self.home} has no python backend for Python {python.minor}, only for {', '.join(self.stubs)}"
        if not python.library:
            return f"Python {python.minor} of {python.executable} has no shared libpython{python.minor}.so"
        if not python.numpy:
            return "the API's environment has no numpy; add `numpy<2` to requirements.txt"
        if python.numpy.partition(".")[0] != "1" and not self.takes_numpy_2:
            return (
                f"the API's environment has numpy {python.numpy}, which the python backend of Triton {self.version} "
                "reads wrongly; add `numpy<2` to requirements.txt"
            )
        return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """What was found, or where it was looked for."""

    installation: Installation | None
    places: tuple[str, ...]

    @property
    def reason(self) -> str:
        return "" if self.installation else f"no Triton in {', '.join(self.places)}; install one with: {HINT}"

    def to_json(self) -> dict[str, Any]:
        found = self.installation
        if found is None:
            return {"found": False, "places": list(self.places), "hint": HINT}
        return {
            "found": True,
            "home": str(found.home),
            "kind": found.kind,
            "version": found.version,
            "pythons": list(found.stubs),
            "native_backends": list(found.native),
            "numpy_2": found.takes_numpy_2,
            "places": list(self.places),
        }


def search(home: str, environ: Mapping[str, str]) -> Search:
    """`home` is what the node was told; then `CORTEX_TRITON_HOME`, the cluster's own folder, NVIDIA's image."""
    if environ.get("CORTEX_TRITON") == "off":
        return Search(None, ("(CORTEX_TRITON=off)",))
    told = home or environ.get("CORTEX_TRITON_HOME", "")
    cluster = environ.get("CORTEX_HOME") or str(pathlib.Path.home() / ".cortex")
    places = (told,) if told else (str(pathlib.Path(cluster) / "triton"), IMAGE_HOME)
    for place in places:
        found = inspect(pathlib.Path(place))
        if found is not None:
            return Search(found, places)
    return Search(None, places)


def inspect(home: pathlib.Path) -> Installation | None:
    """The installation below `home`: a wheel unpacked there or in a venv there, or the layout of NVIDIA's image."""
    if (home / "bin/tritonserver").is_file() and (home / "backends/python").is_dir():
        return _image(home)
    for site in (home, *sorted(home.glob("lib/python3*/site-packages"))):
        if (site / "pytriton/tritonserver/bin/tritonserver").is_file():
            return _wheel(home, site)
    return None


def _image(home: pathlib.Path) -> Installation:
    version = home / "TRITON_VERSION"
    return Installation(
        home=home,
        kind="image",
        version=version.read_text().strip() if version.is_file() else "unknown",
        server=home / "bin/tritonserver",
        backends=home / "backends",
        libraries=(home / "lib",),
        stubs=_stubs([home / "backends/python" / _STUB, *home.glob(f"python_backend_stubs/*/{_STUB}")]),
        caches=home / "caches" if (home / "caches").is_dir() else None,
    )


def _wheel(home: pathlib.Path, site: pathlib.Path) -> Installation:
    root = site / "pytriton/tritonserver"
    return Installation(
        home=home,
        kind="wheel",
        version=_version_of_wheel(site),
        server=root / "bin/tritonserver",
        backends=root / "backends",
        libraries=(site / "nvidia_pytriton.libs",),
        stubs=_stubs(root.glob(f"python_backend_stubs/*/{_STUB}")),
        caches=root / "caches",
    )


# The wheel does not tell the version of the server in it.
_SERVER_OF_WHEEL = {"0.5": "2.42.0", "0.6": "2.50.0", "0.7": "2.51.0"}


def _version_of_wheel(site: pathlib.Path) -> str:
    for info in site.glob("nvidia_pytriton-*.dist-info"):
        wheel = info.name.removeprefix("nvidia_pytriton-").removesuffix(".dist-info")
        return _SERVER_OF_WHEEL.get(wheel.rpartition(".")[0], f"unknown (nvidia-pytriton {wheel})")
    return "unknown"


def _stubs(paths: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
    found = {}
    for path in paths:
        linked = _LINKS_PYTHON.search(path.read_bytes()) if path.is_file() else None
        if linked:
            found[linked[1].decode()] = path
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.triton.discovery", description="Find a Triton server.")
    parser.add_argument("--home", default="", help="look only in this folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = search(options.home, os.environ)
    if options.json:
        print(json.dumps(found.to_json()))  # noqa: T201  # what the command is for
        return 0  # whoever asks for JSON reads it there
    if found.installation is None:
        print(found.reason)  # noqa: T201
    else:
        told = found.to_json()
        print(f"Triton {told['version']} ({told['kind']}) in {told['home']}, Python {', '.join(told['pythons'])}")  # noqa: T201
    return 0 if found.installation else 1


if __name__ == "__main__":
    sys.exit(main())
