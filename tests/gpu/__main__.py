"""`python -m tests.gpu [CHECK...]`: the runtime with predictors on an NVIDIA GPU. Says so where there is none.

    starts     how workers with PyTorch start, by each way of starting, and what has touched the GPU before a fork
    batching   server-side batching against single calls, 64 clients
    deaths     kill -9 of a worker under load: what fails, and the memory of the GPU
    streams    a caller who leaves a stream of tokens
    tensors    binary tensors of the Open Inference Protocol
    triton     a Triton repository on the GPU, by Triton where there is one (CORTEX_TRITON_HOME), else embedded

Predictors run in --python, which needs PyTorch. Each check is a process of its own and ends after --limit seconds.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping

from tests.gpu import card, serving, starts
from tests.gpu.stand import Stand

CHECKS: Mapping[str, Callable[[Stand], None]] = {
    "starts": starts.check,
    "batching": serving.batching,
    "deaths": serving.deaths,
    "streams": serving.streams,
    "tensors": serving.tensors,
    "triton": serving.triton,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    parser.add_argument("--python", default=os.environ.get("CORTEX_GPU_PYTHON") or _python_with_torch())
    parser.add_argument("--device", default="cuda", help="`cpu` rehearses the checks")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds a check may take")
    parser.add_argument("--within", type=pathlib.Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    unknown = set(told.checks) - set(CHECKS)
    if unknown:
        parser.error(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    if told.within:
        return _one(told)
    if told.device != "cpu" and (why := card.lacking()):
        sys.exit(f"nothing was checked: {why}. `make gpu` wants an NVIDIA GPU")
    if not told.python:
        sys.exit("nothing was checked: no Python with torch was found; name one with CORTEX_GPU_PYTHON")
    print(f"{card.describe() if told.device != 'cpu' else 'no GPU'}; {os.cpu_count()} cores; {told.python}", flush=True)
    return _all(told)


def _python_with_torch() -> str:
    candidates = (sys.executable, *(shutil.which("python3", path=folder) for folder in os.get_exec_path()))
    return next((each for each in candidates if each and _has_torch(each)), "")


def _has_torch(python: str) -> bool:
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)"
    return subprocess.run([python, "-s", "-c", code], capture_output=True).returncode == 0


def _all(told: argparse.Namespace) -> int:
    failed = []
    with tempfile.TemporaryDirectory(prefix="cortex-gpu-") as folder:
        own = ["--python", told.python, "--device", told.device, "--seconds", str(told.seconds), "--within", folder]
        for name in told.checks or CHECKS:
            print(name, flush=True)
            began = time.monotonic()
            process = subprocess.Popen([sys.executable, "-m", "tests.gpu", name, *own], process_group=0)
            try:
                status = process.wait(told.limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # a replica ends with its front, and that with its starter
                status = process.wait()
                print(f"  FAILED did not end within {told.limit:g} s", flush=True)
            failed += [name] if status else []
            print(f"  {name} took {time.monotonic() - began:.1f} s", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all held", flush=True)
    return int(bool(failed))


def _one(told: argparse.Namespace) -> int:
    stand = Stand(told.python, told.device, told.within, told.seconds)
    for name in told.checks:
        stand.attempt(lambda stand, name: CHECKS[name](stand), name)
    return int(bool(stand.failures))


if __name__ == "__main__":
    sys.exit(main())
