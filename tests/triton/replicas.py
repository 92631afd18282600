"""Real replicas of `type: triton` and of the framework types."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.runtime import replica
from tests.triton import stand

ENGINES = ("triton", "embedded")


@contextlib.contextmanager
def serving(
    folder: pathlib.Path,
    engine: str,
    models: Sequence[str],
    *,
    predictor: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    **more: Any,
) -> Iterator[replica.Replica]:
    """A replica of our test repository. `engine` says whether it is to find a Triton."""
    for model in models:
        target = folder / "project/models" / model
        shutil.copytree(stand.REPOSITORY / model, target, ignore=shutil.ignore_patterns("__pycache__"))
    asked = {"type": "PREDICTOR_TYPE_TRITON", "path": "", "models": {"dir": "models"}, **(predictor or {})}
    told, variables = settings(engine) | dict(config or {}), _environ(engine) if environ is None else environ
    with replica.running(folder, "", predictor=asked, config=told, environ=variables, **more) as running:
        yield running


def settings(engine: str) -> dict[str, Any]:
    home = {"tritonHome": str(stand.home())} if engine == "triton" else {}
    return {"python": stand.python(), **home}


def _environ(engine: str) -> dict[str, str]:
    return {} if engine == "triton" else {"CORTEX_TRITON": "off"}


environ = _environ
