"""What `cortex doctor` tells, asked of the platform's own programs and of the Pythons that models may run in."""

import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any

from cortex_client import exceptions
from cortex_client.running import plan, programs

Check = dict[str, str]
_SECONDS = 60.0
_PLATFORM = ("services.launcher", "services.node", "runtime")
_ENGINES = ("onnxruntime", "tensorflow", "torch", "scikit-learn", "xgboost", "lightgbm", "numpy")
# Versions from what is installed, without importing anything: a broken framework must not break the look at it.
_PROBE = """
import json, platform, sys
found = {}
try:
    from importlib import metadata
    for each in metadata.distributions():
        found[(each.metadata["Name"] or "").lower().replace("_", "-")] = each.version
except Exception:
    pass
def version(name):
    return next((v for k, v in found.items() if k == name or k.startswith((name + "-cpu", name + "-gpu"))), "")
print(json.dumps({"python": platform.python_version(), "versions": {n: version(n) for n in json.loads(sys.argv[1])}}))
"""


async def examine(pythons: Sequence[str]) -> list[Check]:
    """Every check; what cannot be looked at is a check too."""
    missing = [module for module in _PLATFORM if not programs.installed(module)]
    if missing:
        here = Check(
            name="platform", state="missing", found="only its client is installed", next="pip install cortex-platform"
        )
        return [here, *await asyncio.gather(*(_engines(python) for python in _pythons(pythons)))]
    surveys = await asyncio.gather(_survey("services.node.survey"), _survey("services.launcher.survey"), _triton())
    engines = await asyncio.gather(*(_engines(python) for python in _pythons(pythons)))
    return [*(check for survey in surveys for check in survey), *engines]


def _pythons(chosen: Sequence[str]) -> list[str]:
    """Those that were named, else the one of the environment the user stands in."""
    return list(chosen) or [plan.interpreter(os.environ)]


async def _survey(module: str) -> list[Check]:
    try:
        async with asyncio.timeout(_SECONDS):
            answer = await programs.ask(module, {}, lambda _: None)
    except (exceptions.CortexError, TimeoutError) as error:
        text = str(error).strip().rpartition("\n")[2] or f"no answer within {_SECONDS:g} s"
        return [Check(name=module, state="missing", found=text, next="install Cortex's own requirements again")]
    checks: list[Check] = answer["checks"]
    return checks


async def _triton() -> list[Check]:
    try:
        async with asyncio.timeout(_SECONDS):
            found = await programs.ask("runtime.triton.discovery", {}, lambda _: None, "--json")
    except (exceptions.CortexError, TimeoutError):
        found = {"found": False, "places": [], "hint": "install Cortex's own requirements again"}
    if not found["found"]:
        places = f"not in {', '.join(found['places'])}" if found["places"] else "cannot be looked for"
        words = f"{places}; framework models run on the in-process engine"
        return [Check(name="Triton", state="absent", found=words, next=str(found["hint"]))]
    pythons = ", ".join(found["pythons"]) or "none"
    native = ", ".join(found["native_backends"]) or "none"
    text = f"{found['version']} ({found['kind']}) in {found['home']}, Python {pythons}, native backends {native}"
    step = "" if found["numpy_2"] else "its Python backend needs numpy<2 in an API's environment"
    return [Check(name="Triton", state="ok", found=text, next=step)]


async def _engines(python: str) -> Check:
    name = f"engines in {python}"
    try:
        process = await asyncio.create_subprocess_exec(
            python, "-I", "-c", _PROBE, json.dumps(_ENGINES),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        return Check(name=name, state="absent", found=f"cannot be run: {error.strerror}", next="name another --python")
    try:
        async with asyncio.timeout(_SECONDS):
            out, _ = await process.communicate()
        told: dict[str, Any] = json.loads(out)
    except (TimeoutError, ValueError):
        return Check(name=name, state="absent", found="does not answer", next="name another --python")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    there = [f"{engine} {version}" for engine, version in told["versions"].items() if version]
    return Check(
        name=name,
        state="ok" if there else "absent",
        found=f"Python {told['python']}: {', '.join(there) or 'none'}",
        next="" if there else "list what a project needs in its requirements.txt",
    )
