"""Runs the protocol's own clients against a replica (`make conformance`), in an environment of their own.

They are not among the platform's test tools: tritonclient's HTTP client needs gevent, and kserve half of PyPI.
"""

import pathlib
import subprocess
import sys
import tempfile

from tests.conformance import oip_model
from tests.runtime import replica

_ENVIRONMENT = pathlib.Path.home() / ".cache" / "cortex-test" / "oip-clients"
_PACKAGES = ("tritonclient[http,grpc]>=2.60", "kserve>=0.15", "numpy")
# Each script and the model it wants.
_RUNS = (
    ("triton_examples.py", oip_model.SIMPLE),
    ("triton_text_examples.py", oip_model.STRING),
    ("triton_sequence_examples.py", oip_model.SEQUENCE),
    ("kserve_clients.py", oip_model.SIMPLE),
    ("descriptors.py", oip_model.SIMPLE),
)
_LISTS_MODELS = "triton_examples.py"
_EXAMPLE = pathlib.Path(__file__).parents[3] / "examples" / "numpy" / "image-classifier-binary"


def python() -> pathlib.Path:
    """Of the clients' environment, made when it is not there."""
    found = _ENVIRONMENT / "bin" / "python"
    if not found.exists():
        print(f"installing tritonclient and kserve into {_ENVIRONMENT}", flush=True)
        uv = str(pathlib.Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(_ENVIRONMENT)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(found), *_PACKAGES], check=True)
    return found


def main() -> int:
    interpreter, failed = python(), 0
    for script, source in _RUNS:
        print(f"--- {script}", flush=True)
        failed += _run(interpreter, script, source)
    return failed + _example(interpreter)


def _run(interpreter: pathlib.Path, script: str, source: str) -> bool:
    with (
        tempfile.TemporaryDirectory() as folder,
        replica.running(pathlib.Path(folder), source, config=oip_model.config(folder)) as served,
    ):
        path = pathlib.Path(__file__).with_name(script)
        http, grpc = f"127.0.0.1:{served.http_port}", served.grpc_address
        command = [str(interpreter), str(path), "--http", http, "--grpc", grpc, "--model", "demo"]
        if script == _LISTS_MODELS:
            command += ["--admin-token-file", str(oip_model.token_file(folder))]
        return subprocess.run(command, check=False, timeout=300, stderr=subprocess.DEVNULL).returncode != 0


def _example(interpreter: pathlib.Path) -> bool:
    """The project with binary tensors and its own client."""
    print(f"--- {_EXAMPLE.name}/client.py", flush=True)
    source = (_EXAMPLE / "predictor.py").read_text()
    with tempfile.TemporaryDirectory() as folder, replica.running(pathlib.Path(folder), source) as served:
        command = [str(interpreter), str(_EXAMPLE / "client.py"), f"127.0.0.1:{served.http_port}", "demo"]
        done = subprocess.run(command, check=False, timeout=60, text=True, capture_output=True)
    print(done.stdout + done.stderr)
    wanted = ["plain", "horizontal stripes", "vertical stripes", "checkerboard"]
    return [line.partition("  ")[2] for line in done.stdout.splitlines()] != wanted


if __name__ == "__main__":
    sys.exit(main())
