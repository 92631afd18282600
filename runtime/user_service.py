"""Compiles a user's .proto once for the replica, and says what is wrong with it before a worker starts."""

import base64
import dataclasses
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

from runtime.config import Settings

_SECONDS = 60.0
_RESERVED = ("cortex.", "grpc.", "inference.")


class Invalid(Exception):
    """The file cannot be served; the text tells the user why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Method:
    """One RPC. Names of messages are full names."""

    name: str
    input: str
    output: str
    streams: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """The one service of the file. `files` is a FileDescriptorSet with all that it imports."""

    name: str
    file: str
    files: bytes
    methods: tuple[Method, ...]

    def pool(self) -> Any:
        """The descriptors, for reflection."""
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(self.files).file:
            pool.AddSerializedFile(file.SerializeToString())
        return pool

    def setup(self) -> dict[str, Any]:
        """What a worker is told (shim/rpc.py)."""
        methods = [dataclasses.asdict(method) for method in self.methods]
        files = base64.b64encode(self.files).decode()
        return {"name": self.name, "file": self.file, "files": files, "methods": methods}


def prepare(settings: Settings) -> tuple[Settings, Service | None]:
    """Settings whose workers serve the service. What is wrong with it reaches the user as a failure to load."""
    service: Service | None = None
    try:
        if settings.batching is not None:
            raise Invalid("protobuf_path: not together with server_side_batching")
        service = compile_file(pathlib.Path(settings.setup["project_dir"]), settings.protobuf_path)
        told = service.setup()
    except Invalid as error:
        told = {"error": str(error)}
    return settings._replace(setup={**settings.setup, "service": told}), service


def compile_file(project: pathlib.Path, path: str) -> Service:
    """Raises Invalid."""
    file = project / path
    if not file.is_file():
        raise Invalid(f"protobuf_path: the bundle has no file {path!r}")
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "files.binpb"
        # Other files are found from the project, from beside the file, and the googleapis that come with us.
        roots = [project, file.parent, pathlib.Path(sysconfig.get_path("purelib"))]
        command = [sys.executable, "-m", "grpc_tools.protoc", *[f"-I{root}" for root in roots]]
        command += ["--include_imports", f"--descriptor_set_out={out}", str(file)]
        try:
            done = subprocess.run(command, cwd=project, capture_output=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Invalid(f"protobuf_path: {path} did not compile within {_SECONDS:g} s") from None
        if done.returncode != 0:
            told = done.stderr.decode("utf-8", "replace").strip().replace(f"{project}/", "")
            raise Invalid(f"protobuf_path: {path} does not compile\n{told[:4000]}")
        return read(out.read_bytes(), path)


def read(files: bytes, path: str) -> Service:
    """Raises Invalid."""
    told = descriptor_pb2.FileDescriptorSet.FromString(files).file[-1]  # imports come first
    if len(told.service) != 1:
        raise Invalid(f"protobuf_path: {path} must have one service; it has {len(told.service)}")
    service = told.service[0]
    name = f"{told.package}.{service.name}" if told.package else service.name
    if name.startswith(_RESERVED):
        raise Invalid(f"protobuf_path: the package of {name} is the platform's; choose another")
    for method in service.method:
        if method.client_streaming:
            text = "streams its requests, which is not supported; take one request with a repeated field instead"
            raise Invalid(f"protobuf_path: the RPC {name}/{method.name} {text}")
    methods = [
        Method(method.name, method.input_type[1:], method.output_type[1:], method.server_streaming)
        for method in service.method
    ]
    return Service(name, told.name, files, tuple(methods))
