"""The user's Python and what it is run with: environment, threads of numeric libraries, the shim.

Standard library only and little of it, as the first of them is started before the front has imported anything else.
"""

import os
import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.config import Settings

_SHIM = pathlib.Path(__file__).parent / "shim" / "__main__.py"
# AWS_: the node's credentials fetch models; the user's code gets the variables that the API itself names.
_PRIVATE = ("PYTHON", "CORTEX_", "VIRTUAL_ENV", "GRPC_", "AWS_")
# Numeric libraries start as many threads as there are cores, in every worker, unless these say otherwise.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def environment(python: str, own: Mapping[str, str], base: Mapping[str, str]) -> dict[str, str]:
    """The worker's environment: ours without what is ours, the user's venv in front, then the user's variables."""
    env = {name: value for name, value in base.items() if not name.startswith(_PRIVATE)}
    folder = pathlib.Path(python).parent
    env["PATH"] = os.pathsep.join([str(folder), env.get("PATH", os.defpath)])
    if (folder.parent / "pyvenv.cfg").exists():
        env["VIRTUAL_ENV"] = str(folder.parent)
    if (folder.parent / "conda-meta").exists():
        # Libraries from conda find their data by it.
        env["CONDA_PREFIX"] = str(folder.parent)
    # Without bytecode every start compiles the user's libraries anew, which costs seconds.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    # Who says it of OpenMP means all of them: PyTorch takes MKL's number for OpenMP's.
    follow = dict.fromkeys(_THREADS, own["OMP_NUM_THREADS"]) if "OMP_NUM_THREADS" in own else {}
    return env | follow | dict(own)


def native_threads(workers: int) -> dict[str, str]:
    """Cores divided by the workers; for where neither the node nor the user has said how many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return dict.fromkeys(_THREADS, str(max(1, cores // workers)))


class Interpreter:
    """The user's Python, run with the shim."""

    def __init__(self, settings: "Settings", environ: Mapping[str, str]) -> None:
        base = {**native_threads(settings.processes), **environ}
        self._python = settings.python
        self._env = environment(settings.python, settings.env, base)
        self._folder = settings.setup["project_dir"]

    def run(
        self, kind: str, fds: Sequence[int], stdout: int, stderr: int, stdin: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        """`kind` is a module of the shim. Raises OSError when the interpreter cannot be run."""
        # Popen uses vfork: no fork handler of gRPC's threads runs in between.
        return subprocess.Popen(
            [self._python, "-s", str(_SHIM), kind, str(os.getpid()), *map(str, fds)],
            pass_fds=fds, stdin=stdin, stdout=stdout, stderr=stderr,
            env=self._env, cwd=self._folder, process_group=0,
        )  # fmt: skip
