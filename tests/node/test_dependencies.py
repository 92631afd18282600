"""What the ancestor's three files of dependencies do: scripts with the real bash, conda's packages with a stand-in."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import time
import zipfile

import pytest

from services.node import carried, environments, failures, frameworks, imports, installer, model

_WISH = model.Wish(
    "a-r1-x", "namespaces/d/apis/a/revisions/r1", "namespaces/d/bundles/" + "0" * 64, {}, shell_script="dependencies.sh"
)
# Makes environments as micromamba does, and keeps what it was asked. No conda can be had from the index of Python.
_MICROMAMBA = """#!{python}
import pathlib, subprocess, sys
with open("{calls}", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
prefix = sys.argv[sys.argv.index("--prefix") + 1]
if sys.argv[1] == "create":
    sys.exit(subprocess.call(["{uv}", "venv", "--quiet", "--python", sys.executable, prefix]))
listed = pathlib.Path(sys.argv[sys.argv.index("--file") + 1]).read_text().split()
if "nosuchthing" in listed:
    sys.exit("nothing provides requested nosuchthing")
for name in listed:
    packages = next(pathlib.Path(prefix).glob("lib/python*/site-packages"))
    (packages / (name.rpartition("::")[2] + ".py")).write_text("")
"""


def _wheel(folder: pathlib.Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def _environments(tmp_path: pathlib.Path, timeout: float = 60, **environ: str) -> environments.Environments:
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(tmp_path / "wheels"),
    }
    return environments.Environments(tmp_path / "envs", {**given, **environ}, timeout=timeout)


def _imports(python: str, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, timeout=30).returncode == 0


def _script(project: pathlib.Path, text: str) -> None:
    (project / "dependencies.sh").write_text(text)


async def test_a_script_runs_once_per_environment_and_says_how_far_it_is(
    tmp_path: pathlib.Path, project: pathlib.Path
) -> None:
    _script(project, f"echo fetching the library\necho run >> {tmp_path}/runs\necho x > beside.txt\n")
    told: list[str] = []
    first = await _environments(tmp_path).prepare(_WISH, project, told.append)
    assert "dependencies.sh: fetching the library" in told
    other = dataclasses.replace(_WISH, replica="b", bundle="namespaces/d/bundles/" + "1" * 64)
    assert await _environments(tmp_path).prepare(other, project, told.append) == first
    assert (tmp_path / "runs").read_text() == "run\n"
    assert not (project / "beside.txt").exists(), "the bundle is not written to"


async def test_a_script_comes_before_the_packages_with_the_apis_python_at_hand(
    tmp_path: pathlib.Path, project: pathlib.Path
) -> None:
    _wheel(tmp_path / "wheels", "tinything")
    (project / "requirements.txt").write_text("tinything\n")
    _script(project, "python -c 'import sys; print(sys.prefix)'\npython -c 'import tinything' && exit 1 || true\n")
    told: list[str] = []
    digest, python = await _environments(tmp_path).prepare(_WISH, project, told.append)
    assert f"dependencies.sh: {tmp_path}/envs/{digest}/venv" in told
    assert _imports(python, "tinything")


async def test_what_the_script_names_is_part_of_it(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    _script(project, "bash scripts/more.sh\n")
    (project / "scripts").mkdir()
    (project / "scripts/more.sh").write_text("true\n")
    (project / "predictor.py").write_text("x = 1\n")
    made = _environments(tmp_path)
    digest, _ = await made.prepare(_WISH, project, lambda _: None)
    (project / "predictor.py").write_text("x = 2\n")
    assert (await made.prepare(_WISH, project, lambda _: None))[0] == digest
    (project / "scripts/more.sh").write_text("true # changed\n")
    assert (await made.prepare(_WISH, project, lambda _: None))[0] != digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "echo first\nls /no/such/folder\necho never\n",
            r"`dependencies.sh` failed \(status 2\):\nfirst\n.*no/such/fold",
        ),
        ("exit 7\n", r"`dependencies.sh` failed \(status 7\):\nit printed nothing; `set -x`"),
        ("if then\n", "syntax error"),
        ("kill -9 $$\n", r"status -9"),
    ],
)
async def test_a_failing_script_is_told_with_its_last_words(
    tmp_path: pathlib.Path, project: pathlib.Path, text: str, words: str
) -> None:
    _script(project, text)
    with pytest.raises(failures.PreparationFailed, match=words) as failed:
        await _environments(tmp_path).prepare(_WISH, project, lambda _: None)
    assert failed.value.reason is model.Reason.ENVIRONMENT_FAILED
    assert "never" not in failed.value.message
    assert not list((tmp_path / "envs").glob("*/venv"))


async def test_a_talkative_script_is_heard_in_moderation(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    _script(project, "for i in $(seq 20000); do echo line $i; done\n")
    told: list[str] = []
    await _environments(tmp_path).prepare(_WISH, project, told.append)
    assert told[0] == "dependencies.sh: line 1" and len(told) < 200


async def test_a_script_cannot_hold_up_the_build(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    """Neither by what it leaves running, nor by never ending, nor by a line without an end."""
    _script(project, "sleep 600 &\necho $! > pid\nhead -c 3000000 /dev/zero | tr '\\0' x\n")
    began = time.monotonic()
    digest, _ = await _environments(tmp_path).prepare(_WISH, project, lambda _: None)
    pid = int((tmp_path / "envs" / digest / "source/pid").read_text())
    assert time.monotonic() - began < 20
    assert not _runs(pid)
    _script(project, "sleep 600\n")
    with pytest.raises(failures.PreparationFailed, match="gave up after 1 s"):
        await _environments(tmp_path, timeout=1).prepare(_WISH, project, lambda _: None)


def _runs(pid: int) -> bool:
    """Whether the process is more than a zombie."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _micromamba(tmp_path: pathlib.Path) -> str:
    tool = tmp_path / "bin/micromamba"
    tool.parent.mkdir()
    tool.write_text(_MICROMAMBA.format(python=sys.executable, uv=installer.find_uv({}), calls=tmp_path / "calls"))
    tool.chmod(0o755)
    return f"{tool.parent}:{os.environ['PATH']}"


async def test_conda_packages_come_from_the_tool_that_is_there(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    _wheel(tmp_path / "wheels", "tinything")
    (project / "requirements.txt").write_text("tinything\n")
    (project / "conda-packages.txt").write_text("conda-forge::rdkit\n")
    wish = dataclasses.replace(_WISH, shell_script="", conda_packages="conda-packages.txt")
    made = _environments(tmp_path, PATH=_micromamba(tmp_path))
    digest, python = await made.prepare(wish, project, lambda _: None)
    assert _imports(python, "rdkit") and _imports(python, "tinything")
    create, install = (tmp_path / "calls").read_text().splitlines()
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert create.startswith("create --yes") and create.endswith(f"python={minor}")
    assert "--channel conda-forge" in install and install.endswith("--file conda-packages.txt")
    (project / "conda-packages.txt").write_text("nosuchthing\n")
    with pytest.raises(failures.PreparationFailed, match=r"`conda install` failed.*\nnothing provides"):
        await made.prepare(wish, project, lambda _: None)
    (project / "conda-packages.txt").write_text("conda-forge::rdkit\n")
    assert (await made.prepare(wish, project, lambda _: None))[0] == digest


async def test_without_conda_a_machine_says_what_to_do(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    (project / "conda-packages.txt").write_text("rdkit\n")
    wish = dataclasses.replace(_WISH, shell_script="", conda_packages="conda-packages.txt")
    bare = _environments(tmp_path, PATH=str(tmp_path / "nothing"))
    with pytest.raises(failures.PreparationFailed, match=r"neither micromamba, mamba nor conda .* in requirements.txt"):
        await bare.prepare(wish, project, lambda _: None)


TENSORFLOW = ('tensorflow-cpu; platform_machine == "x86_64"', 'tensorflow; platform_machine != "x86_64"')
NUMPY = ('numpy<2; python_version < "3.13"', 'numpy; python_version >= "3.13"')


@pytest.mark.parametrize(
    ("kind", "listed", "added"),
    [
        ("PYTHON", set(), ()),
        ("ONNX", set(), ("onnxruntime", *NUMPY)),
        ("ONNX", {"onnxruntime-gpu"}, ()),
        ("ONNX", {"numpy"}, ("onnxruntime",)),
        ("TENSORFLOW", {"numpy"}, TENSORFLOW),
        ("TENSORFLOW", set(), (*TENSORFLOW, *NUMPY)),
        ("TENSORFLOW", {"tensorflow"}, ()),
        ("TRITON", set(), ()),
    ],
)
def test_framework_types_get_their_framework(kind: str, listed: set[str], added: tuple[str, ...]) -> None:
    assert frameworks.missing(kind, listed) == added


def test_a_repository_gets_the_frameworks_of_its_models(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a/1").mkdir(parents=True)
    (tmp_path / "a/1/model.onnx").touch()
    assert frameworks.missing("TRITON", set(), tmp_path) == ("onnxruntime", *NUMPY)
    (tmp_path / "a/1/model.onnx").rename(tmp_path / "a/1/model.py")
    assert frameworks.missing("TRITON", set(), tmp_path) == NUMPY


async def test_a_framework_is_installed_for_who_does_not_list_it(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    for name in ("onnxruntime", "numpy", "tinything"):
        _wheel(tmp_path / "wheels", name)
    onnx = dataclasses.replace(_WISH, shell_script="", predictor_type="ONNX")
    (project / "requirements.txt").write_text("tinything\nNumpy  # an array\n")
    made = _environments(tmp_path)
    digest, python = await made.prepare(onnx, project, lambda _: None)
    assert all(_imports(python, name) for name in ("onnxruntime", "numpy", "tinything"))
    plain = await made.prepare(dataclasses.replace(onnx, predictor_type="PYTHON"), project, lambda _: None)
    assert plain[0] != digest and not _imports(plain[1], "onnxruntime")


def test_what_a_predictor_imports(project: pathlib.Path) -> None:
    files = {
        "src/app/predictor.py": "import json, boto3\nfrom lib import tool\nfrom . import near\nfrom .deep import x\n",
        "src/app/near.py": "class A:\n    def f(self):\n        import requests.auth\n",
        "src/app/deep/x.py": "from sklearn.svm import SVC\nimport app.near\n",
        "src/lib/__init__.py": "",
        "src/lib/tool.py": "from PIL import Image\nif __name__ == '__main__':\n    import pandas\n",
        "src/app/train.py": "import torch\n",
        "model.py": "try:\n    import cv2\nexcept ImportError:\n    cv2 = None\nimport lib\nimport numpy as np\n",
        "broken.py": "import numpy\nthis is no Python\n",
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    found = imports.of(project, "src", "src/app/predictor.py")
    assert found == imports.Imports(frozenset({"json", "boto3", "requests", "sklearn", "PIL"}))
    assert imports.of(project, "", "model.py").modules == {"lib", "numpy"}
    assert imports.of(project, "", "broken.py") == imports.of(project, "", "absent.py") == imports.Imports()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"import numpy\nx = " + b"-" * 100_000 + b"1\n", set()),
        (b"import numpy\nx = '\xe9'\n", set()),
        (b"# coding: latin-1\nimport numpy\nx = '\xe9'\n", {"numpy"}),
        (b"import contextlib\nwith contextlib.suppress(ImportError):\n    import torch\n", {"contextlib"}),
        (b"import numpy, xgboost, torch, six\n", {"numpy", "xgboost"}),
        (b"from ... import x\nfrom .. import outside\nfrom . import near\nimport numpy\n", {"numpy", "pandas"}),
    ],
    ids=["deep", "no UTF-8", "latin-1", "suppressed", "folders of data", "beyond the project"],
)
def test_odd_sources(project: pathlib.Path, source: bytes, expected: set[str]) -> None:
    for name in ("xgboost/m/1/model.json", "torch/nn.py", "six/deep/x.py"):
        (project / name).parent.mkdir(parents=True)
        (project / name).touch()
    (project.parent / "outside.py").write_text("import scipy\n")
    (project / "near.py").write_text("import pandas\n")
    (project / "predictor.py").write_bytes(source)
    assert imports.of(project, "", "predictor.py").modules == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import subprocess\nsubprocess.call([sys.executable, '-m', 'pip', 'install', 'x'])\n", True),
        ("import subprocess\nsubprocess.run('pip3 install x'.split())\n", True),
        ("def f():\n    import spacy.cli\n", True),
        ("'run pip install x before'\npipe = 'pipeline'  # pip\n", False),
    ],
)
def test_a_predictor_that_installs_something_itself(project: pathlib.Path, source: str, expected: bool) -> None:
    (project / "predictor.py").write_text(source)
    assert imports.of(project, "", "predictor.py").uses_pip is expected


@pytest.mark.parametrize(
    ("modules", "listed", "added"),
    [
        ({"boto3", "botocore", "requests", "json", "mypackage"}, set(), ("boto3", "requests")),
        ({"cv2", "PIL", "yaml"}, {"opencv-python", "pyyaml"}, ("pillow",)),
        ({"torch", "numpy"}, {"pytorch", "numpy"}, ()),
    ],
)
def test_packages_that_the_images_had(modules: set[str], listed: set[str], added: tuple[str, ...]) -> None:
    assert carried.missing(modules, listed) == added


async def test_code_that_runs_pip_has_one_of_its_own(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    """Else it would be the platform's own that `pip` is on the PATH."""
    for name in ("pip", "setuptools", "wheel"):
        _wheel(tmp_path / "wheels", name)
    (project / "predictor.py").write_text("import subprocess\nsubprocess.call('python -m pip list'.split())\n")
    wish = dataclasses.replace(_WISH, shell_script="", spec={"predictor": {"path": "predictor.py"}})
    digest, python = await _environments(tmp_path).prepare(wish, project, lambda _: None)
    assert _imports(python, "pip")
    (project / "predictor.py").write_text("import subprocess\n")
    assert (await _environments(tmp_path).prepare(wish, project, lambda _: None))[0] != digest


async def test_an_import_that_no_file_lists_is_installed(tmp_path: pathlib.Path, project: pathlib.Path) -> None:
    """As in the ancestor's own examples, whose images had it."""
    for name in ("requests", "protobuf", "tinything"):
        _wheel(tmp_path / "wheels", name)
    (project / "requirements.txt").write_text("tinything\n")
    (project / "predictor.py").write_text("import requests, tinything\n")
    spec = {"predictor": {"path": "predictor.py", "protobufPath": "service.proto"}}
    wish = dataclasses.replace(_WISH, shell_script="", spec=spec)
    told: list[str] = []
    digest, python = await _environments(tmp_path).prepare(wish, project, told.append)
    assert all(_imports(python, name) for name in ("requests", "protobuf", "tinything"))
    assert "adding protobuf, requests: needed, and in no file of dependencies" in told
    (project / "predictor.py").write_text("import requests, tinything  # an edit\n")
    assert (await _environments(tmp_path).prepare(wish, project, lambda _: None))[0] == digest
