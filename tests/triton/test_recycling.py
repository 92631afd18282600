"""Loads and unloads leave memory bounded: after so many a fresh server takes over, and no request notices.

`make triton-cycles` runs the long version: 10,000 cycles.
"""

import asyncio
import os
import pathlib
import shutil
import signal
import time

import pytest

from runtime.inference import InferError, InferRequest
from runtime.triton import processes, server
from tests.triton import stand
from tests.triton.stand import double, floats, read_floats
from tests.triton.test_frameworks import make

CYCLES = int(os.environ.get("CORTEX_TEST_LOAD_CYCLES", "12"))
MOST_LOADS = 5 if CYCLES < 1000 else 500
# Between two of the moments when a fresh server has taken over, the server and its models may grow by this much.
BOUND = 600 * 1024**2


async def test_a_fresh_server_takes_over_unnoticed(tmp_path: pathlib.Path) -> None:
    async with stand.running("triton", tmp_path, models=["double", "quiet"], most_loads=MOST_LOADS) as served:
        stop, failures = asyncio.Event(), []

        async def load() -> int:
            answered = 0
            while not stop.is_set():
                try:
                    await served.engine.infer(double(1.0))
                    answered += 1
                    await asyncio.sleep(0.01)
                except InferError as error:
                    failures.append(error)
            return answered

        callers = [asyncio.ensure_future(load()) for _ in range(2)]
        first, most = served.runner.pid, 0
        pids = {first}
        for cycle in range(CYCLES):
            await served.engine.unload("quiet", dependents=False)
            await served.engine.load("quiet", {})
            pids.add(served.runner.pid)
            most = max(most, processes.resident_bytes(served.runner.pid))
            if cycle and cycle % 500 == 0:
                print(f"{cycle} cycles, server at {most >> 20} MiB at most, {len(pids)} servers", flush=True)
        await served.wait(lambda: served.runner.pid not in (first, None), 60)
        assert CYCLES < 1000 or len(pids) >= CYCLES // (MOST_LOADS + 50)
        stop.set()
        answered = sum(await asyncio.gather(*callers))
        assert failures == [] and answered > 0
        assert most < BOUND
        await served.wait(lambda: not pathlib.Path("/proc", str(first)).exists() or processes.state(first) == "Z", 30)


def picture(root: pathlib.Path, kind: str) -> None:
    """A model that doubles 150528 numbers."""
    if kind == "python":
        shutil.copytree(stand.REPOSITORY / "double", root, ignore=shutil.ignore_patterns("__pycache__"))
        config = (root / "config.pbtxt").read_text().replace("dims: [ -1 ]", "dims: [ 150528 ]")
        (root / "config.pbtxt").write_text(config)
    else:
        make(root / "1/model.onnx", 2, width=150528)


@pytest.mark.parametrize("kind", ["python", "onnx"])
async def test_large_tensors_go_by_shared_memory_and_leave_nothing_behind(kind: str, tmp_path: pathlib.Path) -> None:
    picture(tmp_path / "models/picture", kind)
    async with stand.running("triton", tmp_path) as served:
        values = [float(number % 97) for number in range(150528)]
        request = InferRequest("picture", "", "", [floats("x", values, [1, 150528])], deadline=time.monotonic() + 30)
        for _ in range(3):
            response = await served.engine.infer(request)
            assert {t.name: len(t.data) for t in response.outputs if t.name != "pid"} == {"y": 602112}
            assert read_floats(response.outputs[0])[:5] == [0.0, 2.0, 4.0, 6.0, 8.0]
        prefix = served.runner._calls.server.prefix
        regions = sorted(path.name for path in server.SHARED_MEMORY.glob(f"{prefix}io-*"))
        assert len(regions) == 1, "one region, lent again and again"

        if kind == "python":
            # Given up while Triton has it: that region is lent again when Triton is done.
            slow = InferRequest("picture", "", "", [floats("x", [-3.0, *values[1:]], [1, 150528])])
            slow.deadline = time.monotonic() + 0.1
            with pytest.raises(InferError) as caught:
                await served.engine.infer(slow)
            assert caught.value.status == 504
            await served.wait(lambda: served.catalog.find("picture").gate.inside == 0)
            assert served.runner._calls.regions.retired_bytes == 0
        assert read_floats((await served.engine.infer(request)).outputs[0])[1] == 2.0
    assert list(server.SHARED_MEMORY.glob(f"{prefix}*")) == []


async def test_a_load_goes_on_with_the_successor_of_a_server_that_died(tmp_path: pathlib.Path) -> None:
    async with stand.running("triton", tmp_path, models=["double"]) as served:
        first, code = served.runner.pid, tmp_path / "models/double/1/model.py"
        slow = "import time\n\ntime.sleep(1)\n" + code.read_text().replace("x * 2", "x * 10")
        (tmp_path / "models/double/2").mkdir()
        (tmp_path / "models/double/2/model.py").write_text(slow)
        loading = asyncio.ensure_future(served.engine.load("double", {}))
        await served.wait(lambda: len(processes.stubs(first)) == 2)
        os.kill(first, signal.SIGKILL)
        await loading
        assert served.runner.pid != first
        assert stand.read_floats((await served.engine.infer(double(3.0))).outputs[0]) == [30.0]
