"""Running uv: its environment, its progress, its own words when it fails."""

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
from collections.abc import Callable, Mapping, Sequence

from services.node import failures, model

_TAIL = 60
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
    command: Sequence[str],
    *,
    folder: pathlib.Path,
    environ: Mapping[str, str],
    on_line: Callable[[str], None],
    timeout: float,
    keep_open: int,
) -> None:
    """Runs uv to its end. Raises PreparationFailed with uv's own last words.

    `keep_open` is the descriptor of the environment's lock: should we die, an orphaned uv holds it until it is done.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=(keep_open,),
        start_new_session=True,
        limit=1024 * 1024,
    )
    tail: deque[str] = deque(maxlen=_TAIL)
    try:
        async with asyncio.timeout(timeout):
            assert process.stdout is not None
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                tail.append(line)
                on_line(line)
            status = await process.wait()
    except TimeoutError:
        tail.append(f"gave up after {timeout:.0f} s")
        status = -signal.SIGKILL
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if status != 0:
        words = "\n".join(tail)
        raise failures.PreparationFailed(
            model.Reason.ENVIRONMENT_FAILED, f"`uv {' '.join(command[1:3])}` failed (status {status}):\n{words}"
        )
