"""Asks a model for its inputs and outputs where the user configured none.

In the API's own environment and in a process that ends with the answer, because reading a model runs the framework.
"""

import asyncio
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from runtime.triton.model_config import Invalid

_SCRIPT = pathlib.Path(__file__).parent / "backends" / "_describe.py"
# Where a Python model finds the modules that it imports from Triton: whichever engine runs it, none does here.
_UTILITIES = pathlib.Path(__file__).parents[1] / "shim" / "model_host"
_TIMEOUT = 120.0
# What `_describe.py` can read.
BACKENDS = ("onnxruntime", "tensorflow", "python", "pytorch", "sklearn", "fil", "xgboost", "lightgbm")


class Introspection:
    """`python` is the API's interpreter, `env` the environment its workers have."""

    def __init__(self, python: str, env: Mapping[str, str]) -> None:
        self._python = python
        self._env = {**env, "CORTEX_MODEL_HOST": str(_UTILITIES)}

    async def describe(self, backend: str, version: pathlib.Path, config: Mapping[str, Any]) -> dict[str, Any]:
        """`input`, `output` and `max_batch_size` as in a model configuration. Raises Invalid."""
        if backend not in BACKENDS:
            raise Invalid(f"the inputs and outputs of {version} cannot be read; name them in config.pbtxt")
        process = await asyncio.create_subprocess_exec(
            self._python, "-s", str(_SCRIPT), backend, str(version), json.dumps(config), env=self._env,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_TIMEOUT):
                out, err = await process.communicate()
        except TimeoutError:
            raise Invalid(f"{version} was not read within {_TIMEOUT:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            said = err.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise Invalid(f"the inputs and outputs of {version} cannot be read: {said}")
        told: dict[str, Any] = json.loads(out.splitlines()[-1])
        return told
