"""Life of a worker process: hear what to load, load it, say so, answer requests until the front closes the socket."""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from . import asks, control, forks, frames, loader, logs, parent, shared, signature, sync_engine, template, tensors
from .execute import Executor

if TYPE_CHECKING:
    from . import rpc


def main(fds: list[int], front: int) -> None:
    """Entry of a fresh interpreter. `fds`: data, control and log sockets and the progress page."""
    parent.end_with(front)
    run(fds)


def run(fds: list[int], loaded: template.Template | None = None) -> None:
    """The whole life, from here to the end of the process."""
    data_fd, control_fd, log_fd, page_fd = fds
    data, commands, lines = (socket.socket(fileno=fd) for fd in (data_fd, control_fd, log_fd))
    for sock in (data, commands, lines):
        os.set_inheritable(sock.fileno(), False)
    page = mmap.mmap(page_fd, mmap.PAGESIZE)
    os.close(page_fd)
    decoder = frames.Decoder()
    setup = _receive_setup(commands, decoder)
    os.environ.update(setup.get("environ") or {})  # of this slot, before any library looks at it
    faulthandler.enable(file=2)
    registry = control.Registry(page, shared.Bodies(setup.get("bodies")))
    if loaded is None:
        channel = logs.LogChannel(lines, setup["worker"], setup["log_level"])
        out = logs.install(channel)
        asker = asks.Asker(commands)
    else:
        channel, out, asker = loaded.channel, loaded.out, loaded.asker
        loaded.enter(setup, commands, lines, registry)
    forks.separate((data, commands), registry, channel)
    listen = threading.Thread(target=control.listen, args=(commands, decoder, registry, asker), name="cortex-control")
    listen.daemon = True
    listen.start()
    try:
        _serve(setup, data, channel, registry, out, asker, loaded)
    except loader.LoadError as error:
        registry.came_back()
        _send_json(data, frames.LOAD_FAILED, {"reason": error.reason, "message": error.text})
        # The front ends this process once it has read that; threads of a half-built predictor must not keep it.
        _wait_for_end(data)
        os._exit(1)


def _receive_setup(commands: socket.socket, decoder: frames.Decoder) -> dict[str, Any]:
    while True:
        data = commands.recv(65536)
        if not data:
            os._exit(1)
        for kind, _, _, body in decoder.feed(data):
            if kind == frames.SETUP:
                setup: dict[str, Any] = json.loads(body)
                return setup


def _serve(
    setup: dict[str, Any],
    data: socket.socket,
    channel: logs.LogChannel,
    registry: control.Registry,
    out: logs.Writer,
    asker: asks.Asker,
    loaded: template.Template | None,
) -> None:
    # Python's own handler would raise in the middle of what is ours.
    signal.signal(signal.SIGINT, registry.on_interrupt)
    service = loaded.service if loaded is not None else loader.load_service(setup)
    cls = loaded.cls if loaded is not None else loader.load_class(setup, service)
    if signature.is_async_class(cls, service.names if service else ()):
        from . import async_engine

        async_engine.run(_serve_async(cls, service, setup, data, channel, registry, out, asker, loaded))
        return
    if loaded is not None:
        contract = loaded.contract
        loaded.after_fork()
    else:
        contract = loader.construct(cls, setup, asker, service, registry.holds)
    registry.came_back()
    executor = Executor(contract, channel, setup["monitoring"], _declared(contract, setup, "outputs"))
    engine = sync_engine.Engine(data, executor, registry, out, setup["threads"])
    _send_json(data, frames.LOADED, _offer(contract, setup))
    for index in range(1, setup["threads"]):
        threading.Thread(target=engine.run, name=f"predict-{index}", daemon=True).start()
    engine.run()
    engine.finish()


async def _serve_async(
    cls: Any,
    service: rpc.Service | None,
    setup: dict[str, Any],
    data: socket.socket,
    channel: logs.LogChannel,
    registry: control.Registry,
    out: logs.Writer,
    asker: asks.Asker,
    loaded: template.Template | None,
) -> None:
    from . import async_engine

    if loaded is not None:
        contract = loaded.contract
        await loaded.after_fork_async()
    else:
        contract = loader.construct(cls, setup, asker, service, registry.holds)
    registry.came_back()
    executor = Executor(contract, channel, setup["monitoring"], _declared(contract, setup, "outputs"))
    engine = async_engine.Engine(executor, registry, out, setup["threads"])
    _send_json(data, frames.LOADED, _offer(contract, setup))
    await async_engine.serve(engine, data)


def _offer(contract: signature.Contract, setup: dict[str, Any]) -> dict[str, Any]:
    return {
        "verbs": sorted(verb for verb in contract.verbs if verb[0] != "/"),
        "class": type(contract.instance).__name__,
        "is_async": contract.is_async,
        "headers": contract.wants_headers,
        "prepares": contract.pre is not None,
        # The clients of the framework types send it along.
        "deadline": contract.wants_deadline or setup["predictor_type"] in ("tensorflow", "onnx"),
        "python": sys.version.split()[0],
        "inputs": _declared(contract, setup, "inputs"),
        "outputs": _declared(contract, setup, "outputs"),
    }


def _declared(contract: signature.Contract, setup: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Tensors as cortex.yaml declares them, else as the user's object does."""
    return tensors.declared(setup.get(name)) or tensors.declared(getattr(contract.instance, name, None))


def _send_json(data: socket.socket, kind: int, value: dict[str, Any]) -> None:
    data.sendall(frames.pack(kind, 0, b"", json.dumps(value).encode("utf-8", "replace")))


def _wait_for_end(data: socket.socket) -> None:
    data.settimeout(10)
    chunk: bytes | None = b"."
    try:
        while chunk:
            chunk = data.recv(4096)
    except OSError:
        return
