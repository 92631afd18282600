"""What the fork server imports before it forks: found by reading the predictor's source, never by running it.

Only imports that run before anything else of the module does are taken: a module that sets an environment variable and
then imports a library wants that order kept. Modules of the project are read in turn, but left to the workers, which
have the project in their path. Nothing is imported that is known to break in a forked process.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from typing import Any, Tuple

# Roots of packages that start threads, own devices or sockets, or say themselves that they do not survive a fork.
DENIED = frozenset(
    [
        *("cudf", "cugraph", "cuml", "cupy", "dask", "distributed", "grpc", "horovod", "jax", "jaxlib", "keras"),
        *("mpi4py", "numba", "pycuda", "pyspark", "ray", "rmm", "tensorflow", "tensorrt", "torch_neuron"),
        *("torch_neuronx", "torch_xla", "tritonclient", "vllm"),
    ]
)
_MOST_FILES = 50
_OPENMP = ', which are OpenMP\'s where a library computes: predictor.env with OMP_NUM_THREADS: "1" keeps it from them'

Import = Tuple[str, Tuple[str, ...]]  # module, names taken from it


class Unusable(Exception):
    """This process must not be forked; the text says why."""


def find(project_dir: str, python_path: str, path: str) -> list[Import]:
    """The imports at the top of the module at `path`, and of the project's modules that it imports there."""
    roots = [os.path.join(project_dir, python_path), project_dir]
    waiting = [os.path.join(project_dir, path)]
    seen: set[str] = set()
    found: dict[Import, None] = {}
    while waiting and len(seen) < _MOST_FILES:
        file = os.path.realpath(waiting.pop(0))
        if file in seen:
            continue
        seen.add(file)
        for name, names in _imports(file):
            local = _local(roots, name)
            if local is None:
                found[name, names] = None
            else:
                waiting += [local] if local else []
    return [each for each in found if each[0].split(".")[0] not in DENIED]


def named(modules: list[str]) -> list[Import]:
    """What the user asked for (worker.preload), the denied as well."""
    return [(module, ()) for module in modules]


def is_async(project_dir: str, path: str) -> bool:
    """Whether the predictor is likely to need an event loop."""
    try:
        with open(os.path.join(project_dir, path), "rb") as source:
            return b"async def" in source.read()
    except OSError:
        return False


def _imports(file: str) -> list[Import]:
    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return []  # the worker says so with the user's traceback
    found: list[Import] = []
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            found += [(alias.name, ()) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            if not statement.level and statement.module and statement.module != "__future__":
                found.append((statement.module, tuple(alias.name for alias in statement.names if alias.name != "*")))
        elif _does_something(statement):
            break
    return found


def _does_something(statement: ast.stmt) -> bool:
    """Whether what comes after the statement may depend on it. What is only defined does not run yet."""
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return bool(statement.decorator_list) or isinstance(statement, ast.ClassDef)
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = all(isinstance(target, ast.Name) for target in targets)
        return not names or any(isinstance(node, (ast.Call, ast.Await)) for node in ast.walk(statement))
    return not isinstance(statement, ast.If) or "TYPE_CHECKING" not in ast.dump(statement.test)


def _local(roots: list[str], name: str) -> str | None:
    """The project's file of that module; empty when it is the project's but has none to read; None when it is not."""
    parts = name.split(".")
    for root in roots:
        base = os.path.join(root, parts[0])
        if os.path.isdir(base) or os.path.isfile(base + ".py") or _is_extension(root, parts[0]):
            whole = os.path.join(root, *parts)
            files = (whole + ".py", os.path.join(whole, "__init__.py"))
            return next((file for file in files if os.path.isfile(file)), "")
    return None


def _is_extension(root: str, name: str) -> bool:
    try:
        return any(entry.startswith(name + ".") and entry.endswith(".so") for entry in os.listdir(root))
    except OSError:
        return False


def load(imports: list[Import], project_dir: str) -> list[str]:
    """Imports what is installed; returns the names. Raises Unusable where an import fails or leaves a thread."""
    loaded = []
    before = shared_descriptors()
    for name, names in imports:
        if not _is_installed(name.split(".")[0], project_dir):
            continue
        try:
            __import__(name, {}, {}, list(names), 0)
        except BaseException as error:
            # Half an import cannot be taken back, and a second try in the worker may fail in another way.
            raise Unusable(f"import {name} failed: {type(error).__name__}: {error}") from None
        check_forkable(f"import {name}")
        opened = shared_descriptors() - before
        if opened:
            raise Unusable(f"import {name} opened {', '.join(sorted(opened))}, which workers must not share")
        loaded.append(name)
    return loaded


def _is_installed(root: str, project_dir: str) -> bool:
    try:
        spec = None if root in sys.modules else importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return False
    if root in sys.modules:
        return True
    if spec is None or spec.origin is None:
        return False
    return os.path.commonpath([os.path.realpath(project_dir), os.path.realpath(spec.origin)]) != os.path.realpath(
        project_dir
    )


def check_forkable(what: str) -> None:
    """Raises Unusable when a GPU is in use or threads run. Threads that end by themselves before a fork are fine."""
    if _uses_gpu():  # which starts threads as well, but says less
        raise Unusable(f"{what} initialised CUDA, which does not survive a fork")
    if len(_threads()) > 1:
        _try_fork()
        if len(_threads()) > 1:
            raise Unusable(f"{what} started threads ({_describe_threads()}), which do not survive a fork")


def _uses_gpu() -> bool:
    """By the driver's device for unified memory, which CUDA keeps open once it is initialised, in whatever library;
    torch.cuda.is_available() does that, and torch does not count it. nvidia-smi's library leaves it alone."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    told = cuda is not None and getattr(cuda, "is_initialized", bool)()
    return bool(told) or any(target.startswith("/dev/nvidia-uvm") for target in _open_files())


def shared_descriptors() -> set[str]:
    """Open connections and devices: each worker needs its own."""
    kinds = ("socket:", "anon_inode:[eventpoll]", "/dev/nvidia", "/dev/neuron", "/dev/dri")
    return {target for target in _open_files() if target.startswith(kinds)}


def _open_files() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink("/proc/self/fd/" + fd))
        except OSError:
            continue
    return found


def _threads() -> list[str]:
    return os.listdir("/proc/self/task")


def _try_fork() -> None:
    """OpenBLAS and others end their threads in a handler of fork, and start them again when they are needed."""
    import time

    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    for _ in range(50):
        if len(_threads()) == 1:
            return
        time.sleep(0.001)


def _describe_threads() -> str:
    import threading

    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    native = len(_threads()) - 1 - len(names)
    return ", ".join(names + ([f"{native} native{_OPENMP if _has_openmp() else ''}"] if native > 0 else []))


def _has_openmp() -> bool:
    """GNU's and Intel's keep the threads of the first loop that they divide, and hang in a fork that divides one."""
    with open("/proc/self/maps") as maps:
        return any(re.search(r"/lib(?:g|i?)omp[^/]*\.so", line) for line in maps)
