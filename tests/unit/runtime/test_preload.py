"""What the fork server would import, read from a predictor's source."""

import concurrent.futures
import io
import pathlib
import sys
import types

import pytest

from runtime.shim import preload


def find(folder: pathlib.Path, source: str) -> list[str]:
    (folder / "predictor.py").write_text(source)
    return [name for name, _ in preload.find(str(folder), "", "predictor.py")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import numpy, scipy.stats\nfrom PIL import Image", ["numpy", "scipy.stats", "PIL"]),
        ('"""Says."""\nfrom __future__ import annotations\nX = 1\nimport numpy', ["numpy"]),
        ("def f():\n    import torch\nimport numpy", ["numpy"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nimport numpy", ["typing", "numpy"]),
        # What is set before an import is meant for it.
        ("import os\nos.environ['A'] = 'b'\nimport numpy", ["os"]),
        ("import os\nos.putenv('A', 'b')\nimport numpy", ["os"]),
        ("import sys\nX = sys.path.append('a')\nimport numpy", ["sys"]),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None\nimport numpy", []),
        # What does not survive a fork is left to the workers.
        ("import grpc\nimport tensorflow as tf\nfrom jax import numpy\nimport json", ["json"]),
        ("this is no Python", []),
        ("from . import sibling\nimport numpy", ["numpy"]),
    ],
)
def test_imports_at_the_top(tmp_path: pathlib.Path, source: str, expected: list[str]) -> None:
    assert find(tmp_path, source) == expected


def test_modules_of_the_project_are_read_and_not_imported(tmp_path: pathlib.Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "inner.py").write_text("import package.inner\nimport scipy")
    (tmp_path / "numpy.py").write_text("import csv")
    (tmp_path / "native.cpython-311-x86_64-linux-gnu.so").touch()
    assert find(tmp_path, "from package import inner\nimport package.inner\nimport numpy, native") == ["scipy", "csv"]


def test_what_is_not_installed_is_left_to_the_worker(tmp_path: pathlib.Path) -> None:
    assert preload.load([("no_such_module", ())], str(tmp_path)) == []


def test_a_failing_import_makes_the_process_unusable(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "breaks_on_import.py").write_text("raise ValueError('no')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(preload.Unusable, match="import breaks_on_import failed: ValueError: no"):
        preload.load([("breaks_on_import", ())], "/elsewhere")


@pytest.mark.parametrize("device", ["/dev/nvidia-uvm", "/dev/nvidiactl"])
def test_cuda_is_seen_by_its_device(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.cuda.is_available() initialises it without torch's knowledge; NVML opens the other and may be forked."""
    monkeypatch.setattr("os.readlink", lambda path: device)
    monkeypatch.setattr(preload, "_threads", lambda: ["1"])
    if device == "/dev/nvidiactl":
        preload.check_forkable("the constructor")
        return
    with pytest.raises(preload.Unusable, match="the constructor initialised CUDA"):
        preload.check_forkable("the constructor")


def test_cuda_is_the_reason_rather_than_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=lambda: True))
    monkeypatch.setitem(sys.modules, "torch", torch)
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        pytest.raises(preload.Unusable, match="import x initialised CUDA"),
    ):
        pool.submit(int).result()  # its thread stays
        preload.check_forkable("import x")


@pytest.mark.parametrize(
    "library", ["/venv/torch/lib/libgomp.so.1", "/venv/libs/libgomp-a34b3233.so.1.0", "/opt/libiomp5.so"]
)
def test_threads_of_openmp_are_named_with_what_to_do(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "_threads", lambda: ["1", "2", "3", "4", "5", "6", "7", "8"])
    monkeypatch.setattr(preload, "_try_fork", lambda: None)
    monkeypatch.setattr("builtins.open", lambda path: io.StringIO(f"7f00-7f01 r-xp 0 08:01 1 {library}\n"))
    with pytest.raises(preload.Unusable, match=r"native, which are OpenMP's .* OMP_NUM_THREADS: \"1\""):
        preload.check_forkable("the constructor")
