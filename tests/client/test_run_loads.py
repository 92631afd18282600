"""What `cortex run` does with what changes under it: its folder, and its code while it loads."""

import pathlib
import shutil

import httpx
import pytest

from tests.client import command

pytestmark = pytest.mark.timeout(300)

PREDICTOR = """
class PythonPredictor:
    def __init__(self, config):
        {constructor}

    def predict(self, payload):
        return self.version
"""


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "project"
    folder.mkdir()
    write(folder, "self.version = 1")
    return folder


def write(folder: pathlib.Path, constructor: str) -> None:
    (folder / "cortex.yaml").write_text("- name: iris\n  predictor: {type: python, path: predictor.py}\n")
    (folder / "predictor.py").write_text(PREDICTOR.format(constructor=constructor))


def test_a_folder_that_is_another_one_is_watched_too(project: pathlib.Path) -> None:
    """As after a checkout of a branch without the project and back, or a link that is turned."""
    link = project.parent / "link"
    link.symlink_to(project)
    with command.running(link, "--here") as run:
        run.until("serving")
        shutil.rmtree(project)
        run.until("the version before serves on")
        project.mkdir()
        write(project, "self.version = 2")
        command.wait_for(lambda: _version(run.port) == 2)
        other = project.parent / "other"
        other.mkdir()
        write(other, "self.version = 3")
        link.unlink()
        link.symlink_to(other)
        command.wait_for(lambda: _version(run.port) == 3)
        write(other, "self.version = 4")
        command.wait_for(lambda: _version(run.port) == 4)


def test_an_edit_gives_up_a_load_that_hangs(project: pathlib.Path) -> None:
    hangs = 'import time; print("hangs"); time.sleep(1e6)'
    write(project, hangs)
    with command.running(project, "--here") as run:
        run.until("hangs")
        # What is no code may be written by the load itself, and waits for its end.
        (project / "notes").write_text("x")
        write(project, "self.version = 2")
        run.until("serving")
        assert _version(run.port) == 2 and run.said.count("hangs") == 1
        write(project, hangs)
        run.until("hangs", 2)
        assert _version(run.port) == 2
        write(project, "self.version = 3")
        command.wait_for(lambda: _version(run.port) == 3)


def _version(port: int) -> object:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=command.WAIT_SECONDS, verify=False) as client:
        return client.post("/", json=1).json()
