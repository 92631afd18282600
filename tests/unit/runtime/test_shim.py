"""The shim's promises about itself: it runs on old interpreters and imports nothing of ours."""

import ast
import pathlib
import subprocess
import sys

import pytest

SHIM = pathlib.Path(__file__).parents[3] / "runtime" / "shim"
FILES = sorted(SHIM.glob("*.py"))
# Older and newer interpreters, where the machine has them.
OLD = [
    python
    for python in sorted((pathlib.Path.home() / ".pyenv" / "versions").glob("3.*/bin/python"))
    if not python.parts[-3].startswith(("3.6.", "3.7."))
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_python_3_8_can_read_it_and_it_needs_only_the_standard_library(path: pathlib.Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        assert all(name.split(".")[0] in sys.stdlib_module_names | {"__future__"} for name in names)


@pytest.mark.parametrize("python", [sys.executable, *map(str, OLD)])
def test_every_interpreter_can_import_it(python: str) -> None:
    names = [f"shim.{path.stem}" for path in FILES if path.stem not in ("__main__", "__init__")]
    code = f"import sys, importlib as i; sys.path[:0] = [{str(SHIM.parent)!r}]; [i.import_module(n) for n in {names!r}]"
    subprocess.run([python, "-I", "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", [path.stem for path in FILES if not path.stem.startswith("__")])
def test_each_can_be_the_first_to_be_imported(name: str) -> None:
    code = f"import sys; sys.path[:0] = [{str(SHIM.parent)!r}]; import shim.{name}"
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        (
            "runtime.front",
            ("opentelemetry", "structlog", "grpc", "sqlalchemy", "email", "tempfile", "zlib", "google.protobuf"),
        ),
        ("runtime.oip.grpc_servicer", ("importlib.metadata", "opentelemetry")),
        (
            "runtime.grpc_door, runtime.oip.grpc_service",
            ("importlib.metadata", "msgspec", "hmac", "runtime.inference"),
        ),
        (
            "runtime.head_start",
            ("asyncio", "ssl", "logging", "uvloop", "httptools", "grpc", "google.protobuf", "dataclasses", "inspect"),
        ),
        ("runtime.front", ("runtime.inference", "runtime.shim.payload", "runtime.oip", "argparse")),
        (
            "runtime.shim.fork_server",
            ("asyncio", "ssl", "dataclasses", "decimal", "uuid", "platform", "inspect", "dis", "datetime", "urllib"),
        ),
        ("runtime.shim.fork_server", ("runtime.shim.rpc", "runtime.shim.forms", "runtime.shim.models", "base64")),
    ],
)
def test_a_start_is_lean(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*[m for m in {heavy!r} if m in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, capture_output=True, cwd=SHIM.parents[1]
    )
    assert told.stdout.strip() == b""
