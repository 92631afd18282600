"""A process that imports what the workers need, runs no thread and no request, and forks a worker whenever it is told.

A fork is made twice: the process in between ends at once, so that the front, which adopts orphans, becomes the worker's
parent. It reaps the worker and learns how it ended, and the worker lives on when the fork server dies.
"""

from __future__ import annotations

import array
import contextlib
import faulthandler
import gc
import json
import os
import socket
import sys
from typing import Any

from . import forks, loader, parent, preload, template, worker

FDS = 6  # data, control and log sockets, progress page, stdout, stderr


def main(fds: list[int], front: int) -> None:
    """Runs until the front closes the socket. Never returns in the fork server, once in each worker."""
    fd, *loading = fds
    parent.end_with(front)
    faulthandler.enable(file=2)
    sock = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    plan = _receive_plan(sock)
    parent.name_process("cortex-fork")
    try:
        names, loaded = _load(plan, loading)
    except preload.Unusable as error:
        _end(sock, {"unusable": str(error)})
    except loader.LoadError as error:
        _end(sock, {"failed": [error.reason, error.text]})
    _say(sock, {"ready": names})
    worker.run(_serve(sock, front), loaded)


def _receive_plan(sock: socket.socket) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n"):
        part = sock.recv(65536)
        if not part:
            os._exit(0)
        data += part
    plan: dict[str, Any] = json.loads(data)
    return plan


def _load(plan: dict[str, Any], fds: list[int]) -> tuple[list[str], template.Template | None]:
    """What was imported and, where there are descriptors for it, the predictor. Raises Unusable and LoadError."""
    own, loaded = os.getpid(), None
    # Modules are made to stay: collections among them take time and free nothing.
    gc.disable()
    try:
        names = _prepare(plan)
        if fds:
            gc.enable()
            loaded = template.Template(plan["setup"], *fds)
            gc.collect()
            gc.disable()
        return names, loaded
    finally:
        if os.getpid() != own:  # what the user's code has forked meanwhile must not speak for us
            forks.end(sys.exc_info()[1])


def _prepare(plan: dict[str, Any]) -> list[str]:
    project, path = plan["project_dir"], plan["path"]
    if preload.is_async(project, path):
        from . import async_engine  # noqa: F401
    if plan["preload"]:
        return preload.load(preload.named(plan["preload"]), project)
    # Who constructs the predictor here imports what it needs in the order that it has.
    return [] if plan["setup"] else preload.load(preload.find(project, plan["python_path"], path), project)


def _end(sock: socket.socket, message: dict[str, Any]) -> None:
    _say(sock, message)
    os._exit(0)


def _serve(sock: socket.socket, front: int) -> list[int]:
    """Forks for each set of descriptors that comes. Returns in the forks, with what is left of theirs."""
    while True:
        fds = _receive_fds(sock)
        if not fds:
            os._exit(0)
        pid, between = _fork()
        if pid == 0:
            sock.close()
            gc.enable()
            _become_worker(fds, front, between)
            return fds[:-2]
        for fd in fds:
            os.close(fd)
        _say(sock, {"pid": pid})


def _fork() -> tuple[int, int]:
    """Pids of the worker (0 in the worker itself) and of the process in between. When this returns, the worker is the
    front's child."""
    # What exists now is never looked at by a collection again, so that its pages stay shared.
    gc.freeze()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ours, theirs = os.pipe()
    between = os.fork()
    if between == 0:
        os.close(ours)
        between = os.getpid()
        try:
            _fork_again(theirs)
        except OSError:
            os._exit(1)
        return 0, between
    os.close(theirs)
    with os.fdopen(ours, "rb") as told:
        pid = int(told.read() or b"-1")
    os.waitpid(between, 0)
    return pid, between


def _fork_again(theirs: int) -> None:
    """Returns in the worker only."""
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # it was faster itself, or is dead already
            os.setpgid(pid, pid)
        os.write(theirs, b"%d" % pid)
        os._exit(0)
    os.close(theirs)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def _become_worker(fds: list[int], front: int, between: int) -> None:
    parent.wait_for_adoption(front, between)
    parent.end_with(front)
    for fd, own in zip(fds[-2:], (1, 2)):
        os.dup2(fd, own)
        os.close(fd)
    _reseed()


def _reseed() -> None:
    """Python seeds its own generator anew after a fork; numpy's global one would give all workers the same numbers."""
    random: Any = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _receive_fds(sock: socket.socket) -> list[int]:
    """Empty at the end."""
    fds = array.array("i")
    data, ancillary, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(FDS * fds.itemsize))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    for fd in fds:
        os.set_inheritable(fd, False)
    return list(fds) if data else []


def _say(sock: socket.socket, message: dict[str, Any]) -> None:
    sock.sendall(json.dumps(message).encode() + b"\n")
