"""The platform's programs, where they are installed beside this client: found, never imported."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import machinery
from typing import Any

from cortex_client import exceptions

_STOP_SECONDS = 5.0
_LONGEST_LINE = 16 * 1024 * 1024


def installed(module: str) -> bool:
    """Whether a module lies where `-P` finds it; Python puts the script's or the current folder first otherwise."""
    places: list[str] | None = [place for place in sys.path[0 if sys.flags.safe_path else 1 :] if place]
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        found = machinery.PathFinder.find_spec(name, places) if places else None
        if found is None:
            return False
        places = list(found.submodule_search_locations or ())
    return True


def command(module: str, *arguments: str) -> list[str]:
    """How to start a program of the platform. Raises CortexError where there is none."""
    if not installed(module):
        raise exceptions.CortexError(
            "the platform is not installed here, only its client",
            hint="run `pip install cortex-platform`, or name a platform elsewhere with `cortex env configure`",
        )
    # -P: a folder `services` where the user stands is the user's, and never runs in place of the platform's.
    return [sys.executable, "-P", "-m", module, *arguments]


async def _end(process: asyncio.subprocess.Process) -> None:
    """What was not waited for to its end: asked to stop, so that it ends what it has started, and then made to."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()


async def ask(module: str, question: Mapping[str, Any], tell: Callable[[str], None], *arguments: str) -> dict[str, Any]:
    """Starts a program, hands it JSON, and returns the last line of JSON it says; `progress` lines go to `tell`.

    Raises CortexError with the program's words when it answers with nothing.
    """
    process = await asyncio.create_subprocess_exec(
        *command(module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        process_group=0,
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    errors = asyncio.ensure_future(process.stderr.read())
    answer: dict[str, Any] | None = None
    try:
        process.stdin.write(json.dumps(question).encode())
        process.stdin.close()
        async for line in process.stdout:
            said = json.loads(line)
            if "progress" in said:
                tell(said["progress"])
            else:
                answer = said
        await process.wait()
        words = (await errors).decode(errors="replace").strip()
    finally:
        errors.cancel()
        await _end(process)
    if answer is None:
        raise exceptions.CortexError(f"{module} failed with status {process.returncode}:\n{words}")
    return answer
