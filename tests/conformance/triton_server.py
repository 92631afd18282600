"""A real Triton without a GPU, to compare with: the one inside the nvidia-pytriton wheel, in an environment of its own.

python -m tests.conformance.triton_server     # runs our suite against it
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import httpx

from tests.runtime.replica import free_port, wait_for

_ENVIRONMENT = pathlib.Path.home() / ".cache" / "cortex-test" / "oip-triton"
_MODEL = """
import numpy
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse(self.answer(request)) for request in requests]

    def answer(self, request):
        get = lambda name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
        %s
"""
_SIMPLE = """a, b = get("INPUT0"), get("INPUT1")
        return [pb_utils.Tensor("OUTPUT0", a + b), pb_utils.Tensor("OUTPUT1", a - b)]"""
_TEXT = """return [pb_utils.Tensor(name + "_BACK", get(name)) for name in ("TEXT", "NUMBER")]"""
_CONFIG = """name: "{name}"
backend: "python"
max_batch_size: 8
input [{inputs}]
output [{outputs}]
instance_group [{{kind: KIND_CPU}}]
"""


def python() -> pathlib.Path:
    """Of Triton's environment, made when it is not there (about 100 MB)."""
    found = _ENVIRONMENT / "bin" / "python"
    if not found.exists():
        print(f"installing nvidia-pytriton into {_ENVIRONMENT}", flush=True)
        uv = str(pathlib.Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(_ENVIRONMENT)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(found), "nvidia-pytriton==0.7.0"], check=True)
    return found


def _tensors(*told: tuple[str, str, int]) -> str:
    return ", ".join(f'{{name: "{name}" data_type: TYPE_{kind} dims: [{size}]}}' for name, kind, size in told)


def _write(repository: pathlib.Path, name: str, body: str, inputs: str, outputs: str) -> None:
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(_MODEL % body)
    (folder.parent / "config.pbtxt").write_text(_CONFIG.format(name=name, inputs=inputs, outputs=outputs))


def _models(repository: pathlib.Path) -> None:
    whole = [(name, "INT32", 16) for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")]
    _write(repository, "simple", _SIMPLE, _tensors(*whole[:2]), _tensors(*whole[2:]))
    both = [("TEXT", "STRING", 2), ("NUMBER", "FP32", 3)]
    back = [(f"{name}_BACK", kind, size) for name, kind, size in both]
    _write(repository, "text", _TEXT, _tensors(*both), _tensors(*back))


@contextlib.contextmanager
def running() -> Iterator[tuple[str, str]]:
    """HTTP and gRPC addresses of a server with the models `simple` and `text`."""
    interpreter = python()
    site = next((_ENVIRONMENT / "lib").glob("python*/site-packages"))
    bundle = site / "pytriton" / "tritonserver"
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        shutil.copytree(bundle / "backends", root / "backends")
        stub = bundle / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}"
        shutil.copy(stub / "triton_python_backend_stub", root / "backends" / "python")
        _models(root / "models")
        http, grpc = free_port(), free_port()
        environ = {**os.environ, "PATH": f"{interpreter.parent}:{os.environ['PATH']}", "PYTHONPATH": str(site)}
        # The stub needs libpython, and the server what the wheel brings.
        library = pathlib.Path(os.path.realpath(sys.executable)).parents[1] / "lib"
        environ["LD_LIBRARY_PATH"] = f"{library}:{site / 'nvidia_pytriton.libs'}"
        command = [
            str(bundle / "bin" / "tritonserver"), "--model-repository", str(root / "models"),
            "--backend-directory", str(root / "backends"), "--http-port", str(http), "--grpc-port", str(grpc),
            "--http-address", "127.0.0.1", "--grpc-address", "127.0.0.1", "--allow-metrics", "false",
            "--model-control-mode", "explicit", "--load-model", "simple", "--load-model", "text",
            "--disable-auto-complete-config",
        ]  # fmt: skip
        with (root / "log").open("wb") as log, subprocess.Popen(command, env=environ, stdout=log, stderr=log) as server:
            try:
                wait_for(lambda: _ready(http) or server.poll() is not None, 60)
                assert server.poll() is None, (root / "log").read_text()[-3000:]
                yield f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
            finally:
                server.kill()


def _ready(port: int) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == 200
    return False


def main() -> int:
    failed = 0
    for model in ("simple", "text"):
        with running() as (http, grpc):  # one each, as the last cases kill it
            command = [sys.executable, "-m", "tests.conformance.oip", "--http", http, "--grpc", grpc, "--model", model]
            failed += subprocess.run([*command, *sys.argv[1:]], check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
