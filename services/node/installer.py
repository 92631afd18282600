"""Running the steps of a build: what they get to see, uv's progress, their own words when they fail."""

import asyncio
import configparser
import contextlib
import os
import pathlib
import re
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping

from services.node import failures, model, recipe

_TAIL = 60
_LONGEST_LINE = 2000
# How long after its end a step may still be heard.
_LAST_WORDS = 1.0
_RESOLVED = re.compile(r"^Resolved (\d+) package")
_PASS = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSL_CLIENT_CERT",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "CC",
    "CXX",
    "CFLAGS",
    "LDFLAGS",
    "NETRC",
    "MAMBA_ROOT_PREFIX",
    "CONDARC",
    "CONDA_PKGS_DIRS",
)
# pip's option -> uv's variable and the separator it takes; pip separates by blanks and lines.
_PIP = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
}


def find_uv(environ: Mapping[str, str]) -> str | None:
    """CORTEX_UV, else the uv that was installed with the platform, else one on PATH."""
    if environ.get("CORTEX_UV"):
        return environ["CORTEX_UV"]
    beside = pathlib.Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv", path=environ.get("PATH"))


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What uv gets to see: the user's uv settings, and his pip settings where uv has none of its own."""
    chosen = {name: environ[name] for name in _PASS if name in environ}
    chosen |= {name: value for name, value in environ.items() if name.startswith("UV_")}
    for option, (variable, separator) in _PIP.items():
        value = environ.get("PIP_" + option.replace("-", "_").upper()) or _pip_configuration(environ).get(option)
        if value and variable not in chosen:
            chosen[variable] = separator.join(value.split())
    return chosen | {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1", "UV_SYSTEM_PYTHON": "0"}


def _pip_configuration(environ: Mapping[str, str]) -> dict[str, str]:
    home = pathlib.Path(environ.get("HOME", "/nonexistent"))
    usual = ["/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    places = [*usual, environ.get("PIP_CONFIG_FILE", "")]
    parser = configparser.RawConfigParser()
    with contextlib.suppress(configparser.Error):
        parser.read([str(place) for place in places if place], encoding="utf-8")
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= dict(parser.items(section))
    return found


class Progress:
    """Reads uv's lines and says in few words how far it is."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._total = ""
        self._done = 0

    def line(self, text: str) -> None:
        words = text.strip()
        if found := _RESOLVED.match(words):
            self._total = found[1]
            self._tell(f"installing {self._total} packages")
        elif words.startswith(("Downloading ", "Building ")):
            name = words.split()[1].split("==")[0]
            verb = "building" if words.startswith("Building") else "installing"
            self._tell(f"{verb} {name} ... {self._done + 1}/{self._total or '?'}")
        elif words.startswith(("Downloaded ", "Built ")):
            self._done += 1
        elif words.startswith("Prepared "):
            self._tell(f"linking {self._total} packages into the environment")


async def run(
    step: recipe.Step, *, folder: pathlib.Path, on_line: Callable[[str], None], timeout: float, keep_open: int
) -> None:
    """Runs a step to its end. Raises PreparationFailed with its own last words.

    `keep_open` is the descriptor of the environment's lock: should we die, an orphaned step holds it until it is done.
    """
    # A pipe of our own: asyncio's `wait` would wait for everybody who inherited its pipe.
    output, input_ = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *step.command,
            cwd=folder,
            env=dict(step.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=input_,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(keep_open,),
            start_new_session=True,
        )
    except OSError:
        os.close(output)
        raise
    finally:
        os.close(input_)
    tail: deque[str] = deque(maxlen=_TAIL)
    reading = asyncio.ensure_future(_read(output, tail, on_line))
    try:
        async with asyncio.timeout(timeout):
            status = await process.wait()
            await asyncio.wait([reading], timeout=_LAST_WORDS)
    except TimeoutError:
        tail.append(f"gave up after {timeout:.0f} s")
        status = -signal.SIGKILL
    finally:
        # What a script left running in the background holds the pipe, and ends with the step.
        if process.returncode is None or not reading.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    if status != 0:
        silent = "it printed nothing; `set -x` in a script shows where it ended"
        words = "\n".join([*tail, step.advice]).strip() or silent
        raise failures.PreparationFailed(
            model.Reason.ENVIRONMENT_FAILED, f"`{step.name}` failed (status {status}):\n{words}"
        )


async def _read(output: int, tail: deque[str], on_line: Callable[[str], None]) -> None:
    stream = asyncio.StreamReader()
    pipe = os.fdopen(output, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), pipe
    )
    try:
        while chunk := await _line(stream):
            text = chunk.decode(errors="replace").rstrip()
            tail.append(text[:_LONGEST_LINE])
            on_line(text)
    finally:
        transport.close()


async def _line(stream: asyncio.StreamReader) -> bytes:
    """A line, or as much of an endless one as is kept of it."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.read(error.consumed or 1)
