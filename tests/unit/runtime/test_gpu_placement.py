"""Where models compute, as their own code is told; no GPU is needed to tell it."""

import os
import pathlib
from typing import Any, cast

import pytest

from runtime import guard, logs
from runtime.embedded.runner import Embedded
from runtime.models.repository import Repository, Resolved
from runtime.triton.catalog import Catalog
from runtime.triton.engine import RepositoryEngine
from runtime.triton.repository import Source
from runtime.triton.residents import Residents

NOBODY: Any = cast(Any, None)


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ({"kind": "KIND_GPU", "gpus": [1], "count": 1}, ("GPU", "1")),
        ({"kind": "KIND_CPU", "count": 1}, ("CPU", "0")),
    ],
)
def test_the_embedded_engine_tells_an_instance_its_device(
    group: dict[str, Any], told: tuple[str, str], tmp_path: pathlib.Path
) -> None:
    catalog = Catalog(8)
    source = Source("m", {1: tmp_path}, {"backend": "python", "instance_group": [group]})
    entry = catalog.make(source, {**source.config, "name": "m"})
    log = logs.LogFile(str(tmp_path / "log"), "info")
    watch = cast(guard.Guard, NOBODY)
    engine = Embedded("python", dict(os.environ), tmp_path, catalog, log, watch, lambda: None, load_timeout=1)
    args = engine._setup(entry, 1, 0)["args"]
    log.close()
    assert (args["model_instance_kind"], args["model_instance_device_id"]) == told


@pytest.mark.parametrize(("gpus", "kind"), [(0, "KIND_CPU"), (1, "KIND_GPU")])
async def test_onnx_models_of_an_api_with_a_gpu_run_there(gpus: int, kind: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.onnx").touch()
    residents = Residents(
        cast(RepositoryEngine, NOBODY), cast(Repository, NOBODY), tmp_path / "laid", kind="onnx", batching=None,
        processes=2, cores=(0, 0), gpus=gpus, say=lambda level, text: None,
    )  # fmt: skip
    source = residents._source("m", Resolved("m", "1", str(tmp_path / "m.onnx"), "g", 1, "", NOBODY))
    assert source.config["instance_group"] == [{"kind": kind, "count": 2}]
