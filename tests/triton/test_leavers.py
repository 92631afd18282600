"""Callers who leave, or whose deadline passes, while a real Triton runs their requests."""

import contextlib
import pathlib
import struct
import time
from collections.abc import AsyncIterator

import pytest

from runtime.inference import InferError, InferRequest
from runtime.triton import server
from tests.triton import stand
from tests.triton.stand import Stand, floats

TENSORS = """
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]
"""
BATCHING = "dynamic_batching { }"
ONE_AT_A_TIME = 'parameters { key: "CORTEX_CONCURRENCY" value { string_value: "1" } }'
POLICY = """
dynamic_batching {
  max_queue_delay_microseconds: 1000000 preferred_batch_size: [ 8 ]
  default_queue_policy { allow_timeout_override: true default_timeout_microseconds: 60000000 }
}
"""
# Stands still while the file `hold` exists; what it says goes to the log.
SOURCE = """
import os, time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        xs = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        print("ran", sorted(int(x.flat[0]) for x in xs), [r.parameters() for r in requests], flush=True)
        while os.path.exists({hold!r}) and not ({hears} and all(r.is_cancelled() for r in requests)):
            time.sleep(0.01)
        print("ended", [r.is_cancelled() for r in requests], flush=True)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in xs]
"""
ENSEMBLE = """
platform: "ensemble"
ensemble_scheduling { step [ {
  model_name: "slow" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "y" }
} ] }
"""


@contextlib.asynccontextmanager
async def serving(folder: pathlib.Path, more: str = "", hears: bool = False) -> AsyncIterator[Stand]:
    for name, config in (("slow", f'backend: "python"\n{more}'), ("around", ENSEMBLE)):
        place = folder / "models" / name
        (place / "1").mkdir(parents=True)
        (place / "config.pbtxt").write_text(config + TENSORS)
    source = SOURCE.format(hold=str(folder / "hold"), hears=hears)
    (folder / "models/slow/1/model.py").write_text(source)
    async with stand.running("triton", folder) as served:
        (folder / "hold").touch()
        yield served
        (folder / "hold").unlink(missing_ok=True)


def said(served: Stand, text: str) -> list[str]:
    return [line for line in served.log.read_text().splitlines() if text in line]


async def late(served: Stand, number: float, model: str = "slow", size: int = 1) -> None:
    """A caller with 50 ms."""
    request = InferRequest(model, "", "", [floats("x", [number] * size, [1, size])], deadline=time.monotonic() + 0.05)
    with pytest.raises(InferError) as caught:
        await served.engine.infer(request)
    assert caught.value.status == 504


async def ask(served: Stand, number: float, **more: str) -> None:
    request = InferRequest("slow", "", "", [floats("x", [number], [1, 1])], parameters=more)
    response = await served.engine.infer(request)
    assert struct.unpack("<f", response.outputs[0].data)[0] == number


@pytest.mark.parametrize("more", ["", BATCHING + ONE_AT_A_TIME], ids=["alone", "batched"])
async def test_what_runs_on_keeps_its_place_so_that_nothing_piles_up(tmp_path: pathlib.Path, more: str) -> None:
    async with serving(tmp_path, more) as served:
        gate = served.catalog.find("slow").gate
        for number in range(1, 6):
            await late(served, number)
        assert gate.inside == 1 and gate.queued == 0
        (tmp_path / "hold").unlink()
        await ask(served, 99)
        assert gate.inside == 0
        await served.wait(lambda: said(served, "ran [99]"))
        assert said(served, "ran [1]") and not any(said(served, f"ran [{number}]") for number in range(2, 6))


@pytest.mark.parametrize("model", ["slow", "around"])
async def test_a_model_hears_of_it_and_its_place_is_free(tmp_path: pathlib.Path, model: str) -> None:
    async with serving(tmp_path, hears=True) as served:
        await late(served, 1, model)
        await served.wait(lambda: served.catalog.find(model).gate.inside == 0)
        await served.wait(lambda: said(served, "ended [True]"))
        assert list((tmp_path / "triton/left").iterdir()) == []


async def test_its_memory_is_lent_again(tmp_path: pathlib.Path) -> None:
    async with serving(tmp_path, hears=True) as served:
        for number in range(1, 4):
            await late(served, number, size=50_000)
            await served.wait(lambda: served.catalog.find("slow").gate.inside == 0)
        calls = served.runner._calls
        assert calls.regions.retired_bytes == 0
        assert len(list(server.SHARED_MEMORY.glob(f"{calls.server.prefix}io-*"))) == 1


@pytest.mark.parametrize("more", ["", "response_cache { enable: true }"])  # of which no answer is a sign of life
async def test_a_model_that_never_ends_is_replaced(tmp_path: pathlib.Path, more: str) -> None:
    async with serving(tmp_path, more) as served:
        before = served.runner._calls.server.loads
        await late(served, 1)
        assert served.catalog.find("slow").gate.inside == 1
        await served.wait(lambda: served.runner._calls.server.loads > before, 30)
        (tmp_path / "hold").unlink()
        await ask(served, 2)


async def test_the_model_sees_its_own_parameters_only(tmp_path: pathlib.Path) -> None:
    async with serving(tmp_path) as served:
        (tmp_path / "hold").unlink()
        await ask(served, 7, mine="yes", cortex_call="stolen")
        await served.wait(lambda: said(served, "ran [7]"))
        (line,) = said(served, "ran [7]")
        assert "mine" in line and "cortex_call" not in line


async def test_a_queue_policy_of_the_models_own_hears_of_the_deadline(tmp_path: pathlib.Path) -> None:
    """Triton's `timeout` parameter; without such a policy it does nothing."""
    async with serving(tmp_path, POLICY) as served:
        (tmp_path / "hold").unlink()
        await late(served, 3)
        await served.wait(lambda: served.catalog.find("slow").gate.inside == 0)
        await ask(served, 4)
        await served.wait(lambda: said(served, " 4]") or said(served, "[4]"))  # perhaps with a canary of `around`
        assert not said(served, "3]") and not said(served, "3,")
