"""One tritonserver process: how it is started, what tells that it lives, and how it ends.

It starts empty, because it listens only after its start-up models are loaded, and speaks to us alone: loopback, random
ports, and a key that every call must carry. What it left in /dev/shm goes with it.
"""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping

import grpc

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from cortex.inference.v2 import grpc_inference_service_pb2_grpc as pb_grpc
from runtime import guard, log_pipes, logs, spawn
from runtime.triton import processes
from runtime.triton.discovery import Installation
from runtime.triton.http_calls import HttpCalls
from runtime.triton.interpreter import Interpreter

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_KEY = "cortex-key"
_NEVER = 1_000_000_000
_EVERYTHING = "health,metadata,inference,shared-memory,model-config,model-repository,statistics,trace,logging"
_CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a new server on an old port is not the old server
    ("grpc.max_reconnect_backoff_ms", 100),
)
SHARED_MEMORY = pathlib.Path("/dev/shm")  # noqa: S108  # where Linux keeps named regions


class StartError(Exception):
    """The server did not come up; the text says what it said last."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs: its folder, the models' interpreter, and their environment."""

    installation: Installation
    python: Interpreter
    folder: pathlib.Path
    env: Mapping[str, str]
    trace_url: str = ""

    @property
    def repository(self) -> pathlib.Path:
        return self.folder / "repository"

    @property
    def left(self) -> pathlib.Path:
        """For notes that callers have left (leavers.py)."""
        return self.folder / "left"


class Server:
    """A running server. `prefix` names everything it keeps in /dev/shm."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", http: int, grpc_port: int, key: str, prefix: str, left: pathlib.Path
    ) -> None:
        self.process = process
        self.prefix = prefix
        self.left = left
        self.http = HttpCalls(http, f"{_KEY}: {key}")
        self.metadata = ((f"triton-grpc-protocol-{_KEY}", key),)
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}", options=_CHANNEL)
        self.stub = pb_grpc.GRPCInferenceServiceStub(self.channel)
        self.exited = asyncio.ensure_future(spawn.ended(process))
        self.loads = 0
        self.version = ""
        self.tail = logs.Tail()
        self.faults: dict[str, str] = {}  # why it did not take a model's folder, which only its log tells

    async def live(self, timeout: float) -> bool:
        """Whether it answers at all."""
        try:
            reply = await self.stub.ServerLive(pb.ServerLiveRequest(), timeout=timeout, metadata=self.metadata)
        except grpc.aio.AioRpcError:
            return False
        return reply.live

    @property
    def is_running(self) -> bool:
        return not self.exited.done() and not processes.is_stopped(self.process.pid)

    def kill(self) -> None:
        """At once, with the processes of its models."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def stop(self, watch: guard.Guard) -> None:
        """Lets it end by itself for a moment; then nothing of it is left."""
        try:
            if not self.exited.done():
                self.process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(_STOP_SECONDS):
                    await asyncio.shield(self.exited)
        except (TimeoutError, ProcessLookupError):
            pass
        finally:
            await self.bury(watch)

    async def bury(self, watch: guard.Guard) -> None:
        self.kill()
        await self.exited
        watch.ended(self.process.pid)
        self.http.close()
        await self.channel.close(0.2)
        sweep(self.prefix)


def sweep(prefix: str) -> None:
    """Removes regions a dead server left."""
    for left in SHARED_MEMORY.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            left.unlink()


def sweep_strangers() -> None:
    """Regions of replicas that were killed: their names carry the pid of the front that is gone."""
    for left in SHARED_MEMORY.glob("cortex-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdigit() and not pathlib.Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                left.unlink()


async def start(place: Place, log: logs.LogFile, watch: guard.Guard) -> Server:
    """Starts a server without models. Raises StartError."""
    _lay_out_backends(place)
    last: StartError | None = None
    for _ in range(3):  # a port that was free may be taken before the server binds it
        try:
            return await _start_once(place, log, watch)
        except StartError as error:
            last = error
    assert last is not None
    raise last


async def _start_once(place: Place, log: logs.LogFile, watch: guard.Guard) -> Server:
    http, grpc_port = _free_ports()
    key, prefix = secrets.token_hex(16), f"cortex-{os.getpid()}-{secrets.token_hex(4)}-"
    out = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: ASYNC220  # vfork, see runtime/user_python.py
            command(place, http, grpc_port, key, prefix),
            stdin=subprocess.DEVNULL, stdout=out[1], stderr=out[1],
            env=environment(place), cwd=place.folder, process_group=0,
        )  # fmt: skip
    except OSError as error:
        os.close(out[0])
        raise StartError(f"cannot run {place.installation.server}: {error}") from None
    finally:
        os.close(out[1])
    watch.began(process.pid)
    server = Server(process, http, grpc_port, key, prefix, place.left)
    lines = ServerLines(log, server.tail, server.faults)
    await asyncio.get_running_loop().connect_read_pipe(lambda: lines, os.fdopen(out[0], "rb", buffering=0))
    try:
        await _wait_until_live(server)
    except BaseException:
        await server.bury(watch)
        raise
    return server


async def _wait_until_live(server: Server) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if server.exited.done():
            code = server.process.returncode
            raise StartError(f"tritonserver exited with status {code} at the start\n{server.tail}".strip())
        if await server.live(0.5):
            told = await server.stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=5, metadata=server.metadata)
            server.version = told.version
            return
        await asyncio.sleep(0.01)
    raise StartError(f"tritonserver did not answer within {_START_SECONDS:g} s\n{server.tail}".strip())


def command(place: Place, http: int, grpc_port: int, key: str, prefix: str) -> list[str]:
    """The server's command line."""
    found = place.installation
    options = {
        "model-repository": place.repository,
        "backend-directory": place.folder / "backends",
        "model-control-mode": "explicit",
        "http-address": "127.0.0.1",
        "http-port": http,
        "grpc-address": "127.0.0.1",
        "grpc-port": grpc_port,
        "allow-metrics": "false",  # they make a stop last three seconds, and tell nothing we do not count
        "exit-timeout-secs": 3,
        "backend-config": f"python,shm-region-prefix-name={prefix}",
        "http-restricted-api": f"{_EVERYTHING}:{_KEY}={key}",
        "grpc-restricted-protocol": f"{_EVERYTHING}:{_KEY}={key}",
    }
    line = [str(found.server), "--disable-auto-complete-config", *(f"--{k}={v}" for k, v in options.items())]
    if found.caches is not None:
        line += [f"--cache-directory={found.caches}", "--cache-config=local,size=67108864"]
    if place.trace_url:
        line += [
            "--trace-config=mode=opentelemetry", f"--trace-config=opentelemetry,url={place.trace_url}",
            # One in many millions by its own choice; what carries our trace is always traced.
            f"--trace-config=rate={_NEVER}", "--trace-config=level=TIMESTAMPS",
            "--trace-config=opentelemetry,bsp_schedule_delay=500",
            "--trace-config=opentelemetry,resource=service.name=cortex-triton",
        ]  # fmt: skip
    return line


def environment(place: Place) -> dict[str, str]:
    """For the server and, through it, the models: their venv first, or they find the base interpreter's packages."""
    env = dict(place.env)
    libraries = [*map(str, place.installation.libraries), place.python.library_folder, env.get("LD_LIBRARY_PATH", "")]
    env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    env["CORTEX_LEFT"] = str(place.left)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [place.python.packages, env.get("PYTHONPATH", "")]))
    return env


def _lay_out_backends(place: Place) -> None:
    """A private backends folder: the installation's own, the python backend with this Python's stub, and our wrappers
    for the frameworks the installation has no library for."""
    folder, found = place.folder / "backends", place.installation
    place.repository.mkdir(parents=True, exist_ok=True)
    place.left.mkdir(exist_ok=True)
    if folder.exists():
        return
    folder.mkdir(parents=True)
    shutil.copytree(found.backends / "python", folder / "python", symlinks=False)
    shutil.copy2(found.stubs[place.python.minor], folder / "python" / "triton_python_backend_stub")
    own = pathlib.Path(__file__).parent / "backends"
    for shared in (own / "_shared").glob("*.py"):
        shutil.copy2(shared, folder / "python")  # which is on the path of every model
    with (folder / "python" / "triton_python_backend_utils.py").open("a") as utilities:
        utilities.write("\n\nimport cortex_cancelled\n\ncortex_cancelled.teach()\n")
    for wrapper in sorted(own.iterdir()):
        if (wrapper / "model.py").is_file() and wrapper.name not in found.native:
            shutil.copytree(wrapper, folder / wrapper.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in found.native:
        (folder / name).symlink_to(found.backends / name, target_is_directory=True)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


# A laptop has no GPU, and the server says so at each start in several ways. Models may speak of CUDA as well: of memory
# that it lacks, for one.
_NOISE = re.compile(
    r"[IWEF]\d{4} \S+ \d+ (?:(?:pinned_memory_manager|cuda_memory_manager|metrics)\.cc:"
    r"|.*(?:CudaDriverHelper has not|Failed to set config modification time|CacheManager"
    r"|unable to create stream for .*: CUDA driver version is insufficient))"
)
_FAULT = re.compile(r"""E\d{4} .*\] "Poll failed for model directory '(.+?)': (.+)"$""")
_LEVELS = {"I": "debug", "W": "warning", "E": "error", "F": "error"}


class ServerLines(log_pipes.NativeLines):
    """The server's log, and what the models print. `faults` gets what it says of folders that it does not take."""

    def __init__(self, log: logs.LogFile, tail: logs.Tail, faults: dict[str, str]) -> None:
        super().__init__(log, worker="triton", source="stdout", level="info", tail=tail)
        self._faults = faults

    def _emit(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        glog = len(text) > 5 and text[0] in _LEVELS and text[1:5].isdigit()
        if _NOISE.match(text) or (not glog and text.startswith(("+-", "| "))):
            return
        if fault := _FAULT.match(text):
            self._faults[fault[1]] = fault[2]
        self._level = _LEVELS[text[0]] if glog else "info"
        super()._emit(line)
