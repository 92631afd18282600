"""A TorchScript model in a repository, by our wrapper: `make examples-heavy`."""

import asyncio
import os
import pathlib
import subprocess

import pytest

from runtime.inference import InferError, InferRequest
from tests.triton import stand
from tests.triton.stand import floats, read_floats

WANTED = "CORTEX_EXAMPLES_HEAVY"
CONFIG = """
max_batch_size: 8
dynamic_batching { }
input [ { name: "X__0" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "X__1" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "Y__0" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "Y__1" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
# Inputs and outputs are told apart by their place.
MAKE = """
import sys
import torch

class Model(torch.nn.Module):
    def forward(self, x, y):
        return x - y, x.sum(1, keepdim=True)

torch.jit.trace(Model(), (torch.ones(2, 2), torch.ones(2, 2))).save(sys.argv[1])
"""


@pytest.mark.skipif(WANTED not in os.environ, reason="PyTorch alone is 3 GB on Linux; `make examples-heavy` runs this")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", ["triton", "embedded"])
async def test_a_torchscript_file_answers(engine: str, tmp_path: pathlib.Path) -> None:
    folder, interpreter = tmp_path / "models/subtract", stand.torch_python()
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    subprocess.run([interpreter, "-W", "ignore", "-c", MAKE, folder / "1/model.pt"], check=True)
    async with stand.running(engine, tmp_path, using=interpreter) as served:
        if served.state("subtract") != "READY":
            raise AssertionError(served.catalog.find("subtract").reason)

        async def ask(value: float) -> list[list[float]]:
            inputs = [floats("X__1", [1.0, 2.0], [1, 2]), floats("X__0", [value, value], [1, 2])]
            response = await served.engine.infer(InferRequest("subtract", "", "", inputs))
            return [read_floats(output) for output in sorted(response.outputs, key=lambda output: output.name)]

        values = [float(number) for number in range(20)]
        answers = await asyncio.gather(*map(ask, values))
        assert answers == [[[value - 1, value - 2], [2 * value]] for value in values]
        with pytest.raises(InferError) as caught:
            await served.engine.infer(InferRequest("subtract", "", "", [floats("X__0", [1.0, 1.0], [1, 2])]))
        assert caught.value.status == 400
