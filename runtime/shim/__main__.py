"""Entry of a worker process or the fork server: `python -s <this folder>/__main__.py worker|fork_server <front> <fds>`.

The folder is loaded as the package `_cortex_shim`, so that none of its module names can meet one of the user's.
"""

import gc
import importlib.util
import os
import sys


def _load() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    # Python puts the script's folder first; the user's `import logs` must never find ours.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != folder]
    sys.path.append(os.path.join(folder, "stand_in"))
    spec = importlib.util.spec_from_file_location(
        "_cortex_shim", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["_cortex_shim"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    if sys.version_info < (3, 8):  # noqa: UP036, the user's Python may be any
        sys.exit(f"predictors need Python 3.8 or newer; {sys.executable} is {sys.version.split()[0]}")
    _load()
    _, kind, front, *fds = sys.argv
    gc.disable()  # modules are made to stay: collections among them take time and free nothing
    module = importlib.import_module("_cortex_shim." + kind)
    gc.enable()
    module.main([int(fd) for fd in fds], int(front))
