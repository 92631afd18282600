"""House style that no linter knows (ARCHITECTURE.md, "Habits"): sizes, names, and what must not be in the tree."""

import ast
import pathlib
import re
import statistics
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
# Packages that break others when they arrive by transit: reference ecosystem, section 5.
DENIED = {"xds-protos", "grpcio-csds", "grpcio-admin", "envoy-data-plane", "aiobotocore", "gevent", "betterproto2"}


def tracked(*suffixes: str) -> list[pathlib.Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [ROOT / name for name in names if name.endswith(suffixes)]
    return [path for path in paths if path.exists() and not path.is_relative_to(ROOT / "protos/gen")]


def python() -> list[pathlib.Path]:
    return [path for path in tracked(".py") if "migrations/versions" not in str(path)]


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in python()}
    assert {str(path): n for path, n in lengths.items() if n > LONGEST_FILE} == {}
    assert statistics.median(n for n in lengths.values() if n) <= 200


def test_no_function_is_longer_than_a_screen() -> None:
    found = {}
    for path in python():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    found[f"{path.relative_to(ROOT)}:{node.name}"] = length
    assert found == {}


def test_no_drawer_modules() -> None:
    assert [path for path in tracked(".py") if path.stem in DRAWERS or path.parent.name in DRAWERS] == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"^\s*global \w", "state belongs to an object with an owner"),
        (r"\bTODO\b|\bFIXME\b|\bXXX\b", "an issue, or done"),
        (r"unittest\.mock|from mock import", "a fake that passes the contract suite, or the real part"),
        (r"shell=True|os\.system\(", "an argument list, never a shell string"),
    ],
)
def test_words_that_must_not_appear(pattern: str, why: str) -> None:
    here = pathlib.Path(__file__)
    hits = [
        str(path.relative_to(ROOT)) for path in python() if path != here and re.search(pattern, path.read_text(), re.M)
    ]
    assert hits == [], why


def test_every_service_explains_itself() -> None:
    folders = [path.parent for path in (ROOT / "services").glob("*/__main__.py")] + [ROOT / "runtime", ROOT / "clients"]
    assert [str(folder) for folder in folders if not (folder / "README.md").exists()] == []


def test_every_module_says_what_it_is_for() -> None:
    source = [p for p in python() if p.parts[len(ROOT.parts)] in ("services", "runtime", "clients") and p.read_text()]
    silent = [str(p.relative_to(ROOT)) for p in source if ast.get_docstring(ast.parse(p.read_text())) is None]
    assert [name for name in silent if not name.endswith("__init__.py")] == []


def test_the_chassis_stays_small_and_tested() -> None:
    modules = {path.stem for path in (ROOT / "services/chassis").glob("*.py")} - {"__init__"}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests/unit/chassis").glob("test_*.py")}
    assert len(modules) <= 12
    # The clock has nothing to test; interceptors and channels are tested through a real server.
    assert modules - tested <= {"clock", "interceptors", "channels"}


def test_no_package_that_breaks_others() -> None:
    locked = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert locked & DENIED == set()


def test_every_reason_is_documented() -> None:
    document = (ROOT / "docs/reasons.md").read_text()
    for proto, prefix in (("error_reason", "ERROR_REASON_"), ("condition", "CONDITION_REASON_")):
        text = (ROOT / f"protos/cortex/type/v1/{proto}.proto").read_text()
        names = re.findall(rf"^  {prefix}([A-Z_]+) = \d+;", text, re.M)
        assert [name for name in names if name != "UNSPECIFIED" and f"`{name}`" not in document] == []
