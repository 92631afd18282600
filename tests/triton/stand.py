"""Engines over the test repository: a real Triton server and the embedded engine, their models in an environment of
their own. Both are built once by uv and kept under ~/.cache/cortex-test."""

import asyncio
import contextlib
import fcntl
import functools
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from runtime import guard, logs, user_python
from runtime.embedded.runner import Embedded
from runtime.inference import InferError, InferRequest, Tensor
from runtime.triton import discovery, interpreter, introspection, repository, server
from runtime.triton.catalog import Catalog, Entry
from runtime.triton.engine import RepositoryEngine
from runtime.triton.supervisor import Supervisor

REPOSITORY = pathlib.Path(__file__).parent / "repository"
CACHE = pathlib.Path.home() / ".cache/cortex-test"
_PACKAGES = ("numpy<2", "onnxruntime>=1.20,<2", "onnx>=1.17,<2")
_UV = pathlib.Path(sys.executable).with_name("uv")


@functools.cache
def home() -> pathlib.Path:
    """A Triton installation of the wheel."""
    return _built("triton-0.7.0", ["--no-deps", "nvidia-pytriton==0.7.0"], target=True)


@functools.cache
def python() -> str:
    """The interpreter of an API whose requirements.txt has what its models need."""
    return str(_built(f"models-{sys.version_info[1]}", list(_PACKAGES), target=False) / "bin/python")


@functools.cache
def torch_python() -> str:
    """One with PyTorch: 3 GB on Linux, so for `make examples-heavy` only."""
    return str(_built(f"torch-{sys.version_info[1]}", ["numpy<2", "torch==2.15.0"], target=False) / "bin/python")


def _built(name: str, packages: list[str], *, target: bool) -> pathlib.Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / name
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            if target:
                where = ["--target", str(part)]
            else:
                subprocess.run([_UV, "venv", "--quiet", "--relocatable", "--python", sys.executable, part], check=True)
                where = ["--python", str(part / "bin/python")]
            subprocess.run([_UV, "pip", "install", "--quiet", *where, *packages], check=True, timeout=300)
            part.rename(folder)
    return folder


class Unwatched(guard.Guard):
    """Forks nothing: a test process has threads."""

    def __init__(self) -> None:
        pass

    def _tell(self, note: int) -> None:
        pass

    def close(self) -> None:
        pass


class Stand:
    """A running engine and what tests look at."""

    def __init__(self, engine: RepositoryEngine, runner: Any, catalog: Catalog, log: pathlib.Path) -> None:
        self.engine = engine
        self.runner = runner
        self.catalog = catalog
        self.log = log

    def state(self, model: str) -> str:
        entry = self.catalog.get(model)
        return entry.state if entry else ""

    async def wait(self, what: Callable[[], Any], timeout: float = 20.0) -> None:
        async with asyncio.timeout(timeout):
            while not what():
                await asyncio.sleep(0.01)

    def said(self, text: str) -> bool:
        return self.log.exists() and text in self.log.read_text()


@contextlib.asynccontextmanager
async def running(
    kind: str, folder: pathlib.Path, *, models: Sequence[str] = (), limit: int = 1024, most_loads: int = 500,
    using: str = "",
) -> AsyncIterator[Stand]:  # fmt: skip
    """An engine whose repository has the named models of ours, run by the interpreter `using` or that of `python()`."""
    using = using or python()
    root = folder / "models"
    for model in models:
        shutil.copytree(REPOSITORY / model, root / model, ignore=shutil.ignore_patterns("__pycache__"))
    root.mkdir(exist_ok=True)
    log = logs.LogFile(str(folder / "log.jsonl"), "info")
    catalog, watch = Catalog(limit), Unwatched()
    env = user_python.environment(using, {}, os.environ)
    intro = introspection.Introspection(using, env)
    runner: Any
    if kind == "triton":
        found = discovery.inspect(home())
        assert found is not None
        place = server.Place(found, await interpreter.probe(using), folder / "triton", env)
        runner = Supervisor(place, catalog, log, watch, lambda: None, load_timeout=60, most_loads=most_loads)
    else:
        runner = Embedded(using, env, folder / "embedded", catalog, log, watch, lambda: None, load_timeout=60)

    @contextlib.asynccontextmanager
    async def read(name: str) -> AsyncIterator[repository.Source]:
        if name not in [path.name for path in root.iterdir()]:
            raise InferError(404, f"no model {name!r}", "NOT_FOUND")
        yield repository.read(root / name)

    engine = RepositoryEngine(catalog, read)
    engine.equip(runner, intro)
    sources, broken = repository.scan(root)
    assert broken == []
    await engine.declare(sources)
    task = asyncio.ensure_future(runner.run())
    stand = Stand(engine, runner, catalog, folder / "log.jsonl")
    try:
        await stand.wait(lambda: task.done() or all(_settled(entry) for entry in catalog))
        yield stand
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.stop()
        log.close()


def _settled(entry: Entry) -> bool:
    return entry.state == "READY" or (entry.state == "UNAVAILABLE" and bool(entry.reason))


def floats(name: str, values: Sequence[float], shape: Sequence[int]) -> Tensor:
    return Tensor(name, "FP32", list(shape), struct.pack(f"<{len(values)}f", *values))


def read_floats(tensor: Tensor) -> list[float]:
    return list(struct.unpack(f"<{len(tensor.data) // 4}f", tensor.data))


def double(*values: float, timeout: float = 20.0, **more: Any) -> InferRequest:
    """A request to the model `double`."""
    x = floats("x", values or (1.0,), [1, len(values) or 1])
    return InferRequest("double", "", "id", [x], outputs=("y",), deadline=time.monotonic() + timeout, **more)


def texts(name: str, *values: str) -> Tensor:
    data = b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)
    return Tensor(name, "BYTES", [len(values)], data)
