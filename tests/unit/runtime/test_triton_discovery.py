"""What is taken for a Triton, and which interpreters it can run models in."""

import pathlib

import pytest

from runtime.triton import discovery
from runtime.triton.interpreter import Interpreter


def stub(path: pathlib.Path, minor: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF...libpython" + minor.encode() + b".so.1.0...")


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    home = tmp_path / "image"
    stub(home / "backends/python/triton_python_backend_stub", "3.12")
    (home / "backends/onnxruntime").mkdir()
    (home / "backends/onnxruntime/libtriton_onnxruntime.so").touch()
    (home / "bin").mkdir()
    (home / "bin/tritonserver").touch()
    (home / "TRITON_VERSION").write_text("2.61.0\n")
    return home


@pytest.fixture
def wheel(tmp_path: pathlib.Path) -> pathlib.Path:
    home = tmp_path / "wheel"
    root = home / "pytriton/tritonserver"
    for minor in ("3.10", "3.9", "3.11"):
        stub(root / "python_backend_stubs" / minor / "triton_python_backend_stub", minor)
    (root / "bin").mkdir()
    (root / "bin/tritonserver").touch()
    (home / "nvidia_pytriton-0.7.0.dist-info").mkdir()
    return home


def python(minor: str = "3.11", numpy: str = "1.26.4", library: str = "/lib/libpython3.11.so.1.0") -> Interpreter:
    return Interpreter("/venv/bin/python", minor, library, "/venv/lib", {"numpy": numpy})


def test_both_layouts_are_known(image: pathlib.Path, wheel: pathlib.Path) -> None:
    of_image, of_wheel = discovery.inspect(image), discovery.inspect(wheel)
    assert of_image is not None and of_wheel is not None
    assert (of_image.kind, of_image.version, list(of_image.stubs)) == ("image", "2.61.0", ["3.12"])
    assert of_image.native == ("onnxruntime",)
    assert (of_wheel.kind, of_wheel.version, list(of_wheel.stubs)) == ("wheel", "2.51.0", ["3.9", "3.10", "3.11"])
    assert discovery.inspect(image.parent) is None


def test_where_it_is_looked_for(image: pathlib.Path, tmp_path: pathlib.Path) -> None:
    told = discovery.search(str(image), {})
    assert told.installation is not None and told.reason == ""
    assert discovery.search("", {"CORTEX_TRITON_HOME": str(image)}).installation is not None
    (tmp_path / "home").mkdir()
    (tmp_path / "home/triton").symlink_to(image)
    assert discovery.search("", {"CORTEX_HOME": str(tmp_path / "home")}).installation is not None
    nothing = discovery.search(str(tmp_path / "no"), {})
    assert nothing.installation is None and "make triton" in nothing.reason and str(tmp_path / "no") in nothing.reason
    assert discovery.search(str(image), {"CORTEX_TRITON": "off"}).installation is None


def test_who_cannot_run_models_is_told_why(image: pathlib.Path, wheel: pathlib.Path) -> None:
    of_image, of_wheel = discovery.inspect(image), discovery.inspect(wheel)
    assert of_image is not None and of_wheel is not None
    assert of_wheel.refuses(python()) == ""
    assert "numpy<2" in of_wheel.refuses(python(numpy="2.2.0"))
    assert of_image.refuses(python(minor="3.12", numpy="2.2.0")) == ""
    assert "has no numpy" in of_wheel.refuses(python(numpy=""))
    assert "only for 3.9, 3.10, 3.11" in of_wheel.refuses(python(minor="3.13"))
    assert "no shared libpython" in of_wheel.refuses(python(library=""))
