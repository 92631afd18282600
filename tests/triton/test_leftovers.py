"""kill -9 of a replica's front: its Triton, the stubs, their shared memory and its folder do not stay."""

import pathlib

import pytest

from runtime.triton import processes, server
from tests.runtime import replica
from tests.triton import replicas
from tests.triton.test_faults import DOUBLE

# 64 KiB and more go by a region of ours.
LARGE = {"inputs": [{"name": "x", "shape": [1, 20_000], "datatype": "FP32", "data": [1] * 20_000}]}


def runs(pid: int) -> bool:
    return processes.state(pid) not in ("", "Z")


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_nothing_stays_when_the_front_is_killed(engine: str, tmp_path: pathlib.Path) -> None:
    with replicas.serving(tmp_path, engine, ["double"]) as api:
        assert api.client.post("/v2/models/double/infer", json=LARGE).status_code == 200
        front = api.process.pid
        children = [each["pid"] for each in api.state["workers"] if each["pid"]]
        assert len(children) == (2 if engine == "triton" else 1)
        regions = list(server.SHARED_MEMORY.glob(f"cortex-{front}-*"))
        assert (len(regions) >= 2) == (engine == "triton")
        (folder,) = tmp_path.glob("cortex-models-*")
        api.process.kill()
        replica.wait_for(lambda: not any(map(runs, children)))
        replica.wait_for(lambda: not list(server.SHARED_MEMORY.glob(f"cortex-{front}-*")))
    (tmp_path / "state.json").unlink()
    with replicas.serving(tmp_path, engine, []) as api:
        assert api.client.post("/v2/models/double/infer", json=DOUBLE).status_code == 200
        assert not folder.exists() and len(list(tmp_path.glob("cortex-models-*"))) == 1
    assert not list(tmp_path.glob("cortex-models-*"))
