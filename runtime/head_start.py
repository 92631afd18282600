"""Starts the fork server before the front imports what it needs itself, so that both import at the same time.

Nothing but the interpreter and the libraries of the user runs by then: the predictor waits for the front.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from runtime import guard, neuron
from runtime.config import Settings
from runtime.user_python import Interpreter


class Launched(NamedTuple):
    """The process of a fork server, and the front's ends of its sockets and pipes. `told`: it has its plan already."""

    process: "subprocess.Popen[bytes]"
    socks: list[socket.socket]
    stdout: int
    stderr: int
    told: bool = False


def supported() -> bool:
    return sys.platform.startswith("linux")


def plan(settings: Settings) -> dict[str, Any]:
    """What a fork server imports; `setup` is what it constructs."""
    setup = settings.setup if settings.worker.start == "fork-loaded" else None
    named = {name: settings.setup[name] for name in ("project_dir", "python_path", "path")}
    return {**named, "preload": settings.worker.preload, "setup": setup}


def encode(plan: Mapping[str, Any]) -> bytes:
    return json.dumps(plan).encode() + b"\n"


def begin(settings: Settings, watch: guard.Guard) -> Launched | None:
    """None where there is to be no fork server, or where it is for the front to say what is wrong."""
    if settings.predictor_type == "triton" or settings.worker.start != "fork-server" or not supported():
        return None
    try:
        neuron.ranges(*settings.neuron_cores, settings.processes)
        launched = launch(Interpreter(settings, os.environ), 1, watch)
    except (neuron.Indivisible, OSError):
        return None
    with contextlib.suppress(OSError):  # it has ended, which the front will see
        launched.socks[0].sendall(encode(plan(settings)))
    return launched._replace(told=True)


def launch(interpreter: Interpreter, sockets: int, watch: guard.Guard) -> Launched:
    """Raises OSError when the interpreter cannot be run."""
    pairs = [socket.socketpair() for _ in range(sockets)]
    (stdout, their_stdout), (stderr, their_stderr) = os.pipe(), os.pipe()
    try:
        process = interpreter.run("fork_server", [pair[1].fileno() for pair in pairs], their_stdout, their_stderr)
    except OSError:
        for pair in pairs:
            pair[0].close()
        os.close(stdout)
        os.close(stderr)
        raise
    finally:
        for pair in pairs:
            pair[1].close()
        os.close(their_stdout)
        os.close(their_stderr)
    watch.began(process.pid)
    return Launched(process, [pair[0] for pair in pairs], stdout, stderr)
