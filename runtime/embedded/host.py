"""The front's end of one model host (shim/model_host): the process, its socket, and the requests inside it."""

import asyncio
import contextlib
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from runtime import errors, guard, log_pipes, logs, spawn
from runtime.inference import InferError, InferRequest, InferResponse, Tensor
from runtime.shim import frames
from runtime.triton import processes
from runtime.triton.gate import refusal

HOST = pathlib.Path(__file__).parents[1] / "shim" / "model_host" / "host.py"
_SETUP, _INFER, _CANCEL = 1, 2, 3
_LOADED, _FAILED, _RESPONSE, _ERROR, _STREAM = 10, 11, 12, 13, 14
_STATUS = {2: 404, 3: 400, 4: 503, 5: 501, 7: 499}  # of TritonError's codes

Message = tuple[int, dict[str, Any], bytes]


class LoadFailed(Exception):
    """The model was not loaded; the text is its traceback."""


class Host(asyncio.Protocol):
    """One process. Ends every request that is inside when it dies."""

    def __init__(self, process: "subprocess.Popen[bytes]", tail: logs.Tail) -> None:
        self.process = process
        self.tail = tail
        self.exited = asyncio.ensure_future(spawn.ended(process))
        self.loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_gone: Callable[[], None] = lambda: None  # before those inside hear of it
        self._decoder = frames.Decoder()
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Queue[Message]] = {}
        self._idle = asyncio.Event()
        self._transport: Any = None

    @property
    def load(self) -> int:
        return len(self._open)

    @property
    def is_connected(self) -> bool:
        return not self._transport.is_closing()

    @property
    def is_serving(self) -> bool:
        """Whether it has loaded its model, so that requests may be sent to it."""
        return self.is_connected and self.loaded.done() and not self.loaded.cancelled() and not self.loaded.exception()

    @property
    def is_running(self) -> bool:
        return self.is_connected and not self.exited.done() and not processes.is_stopped(self.process.pid)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for kind, number, head, body in self._decoder.feed(data):
            if kind == _LOADED:
                self.loaded.set_result(None)
            elif kind == _FAILED:
                self.loaded.set_exception(LoadFailed(json.loads(head)["error"]))
            elif (waiting := self._open.get(number)) is not None:
                waiting.put_nowait((kind, json.loads(head), body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_gone()
        for waiting in self._open.values():
            waiting.put_nowait((0, {}, b""))
        if not self.loaded.done():
            self.loaded.set_exception(LoadFailed(f"the process of the model ended\n{self.tail}".strip()))

    def setup(self, told: Mapping[str, Any]) -> None:
        self._transport.write(frames.pack(_SETUP, 0, b"", json.dumps(told).encode()))

    async def infer(self, version: str, request: InferRequest) -> InferResponse:
        async with contextlib.aclosing(self.stream(version, request)) as responses:
            async for response in responses:
                return response
        raise InferError(500, f"model {request.model!r} gave no response", "INTERNAL")

    async def stream(self, version: str, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        number, waiting = next(self._numbers), asyncio.Queue[Message]()
        self._open[number] = waiting
        final = False
        try:
            self._submit(number, version, request)
            while not final:
                kind, head, body = await waiting.get()
                response = _response(kind, head, body, version, request)
                final = response.final
                yield response
        finally:
            del self._open[number]
            if not final and not self._transport.is_closing():
                self._transport.write(frames.pack(_CANCEL, number))
            if not self._open:
                self._idle.set()

    async def idle(self) -> None:
        while self._open:
            self._idle.clear()
            await self._idle.wait()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def end(self, watch: guard.Guard) -> None:
        self.kill()
        await self.exited
        watch.ended(self.process.pid)
        self._transport.close()

    def _submit(self, number: int, version: str, request: InferRequest) -> None:
        if self._transport is None or self._transport.is_closing():
            raise refusal(errors.WORKER_DIED)
        head = {
            "id": request.id,
            "model": request.model,
            "version": version,
            "inputs": [
                {"name": x.name, "datatype": x.datatype, "shape": list(x.shape), "size": len(x.data)}
                for x in request.inputs
            ],
            "outputs": list(request.outputs),
            "parameters": dict(request.parameters),
        }
        size = sum(len(tensor.data) for tensor in request.inputs)
        self._transport.write(frames.pack_start(_INFER, number, json.dumps(head).encode(), size))
        for tensor in request.inputs:
            self._transport.write(bytes(tensor.data))


def _response(kind: int, head: dict[str, Any], body: bytes, version: str, request: InferRequest) -> InferResponse:
    """Raises InferError."""
    if kind == 0:
        raise refusal(errors.WORKER_DIED)
    if kind == _ERROR:
        status = _STATUS.get(int(head["code"]), 500)
        # A model that raised: its traceback is in the log. An error that it made itself is for the caller.
        raise InferError(status, "internal server error" if head["internal"] else str(head["error"]), "INTERNAL")
    outputs, at = [], 0
    for told in head["outputs"]:
        data = body[at : at + told["size"]]
        at += told["size"]
        outputs.append(Tensor(told["name"], told["datatype"], told["shape"], data))
    return InferResponse(request.model, version, request.id, outputs, {}, bool(head["final"]))


async def start(
    python: str,
    env: Mapping[str, str],
    setup: Mapping[str, Any],
    cwd: pathlib.Path,
    log: logs.LogFile,
    watch: guard.Guard,
) -> Host:
    """Starts a host and sends it what to load; `loaded` tells the end of that. Raises OSError."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    out = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: ASYNC220  # vfork, see runtime/user_python.py
            [python, "-s", str(HOST), str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=out[1], stderr=out[1],
            env=dict(env), cwd=cwd, process_group=0,
        )  # fmt: skip
    except OSError:
        os.close(out[0])
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(out[1])
    watch.began(process.pid)
    tail = logs.Tail()
    lines = log_pipes.NativeLines(log, worker=setup["args"]["model_name"], source="stderr", level="info", tail=tail)
    await loop.connect_read_pipe(lambda: lines, os.fdopen(out[0], "rb", buffering=0))
    ours.setblocking(False)
    host = Host(process, tail)
    await loop.create_unix_connection(lambda: host, sock=ours)
    host.setup(setup)
    return host
