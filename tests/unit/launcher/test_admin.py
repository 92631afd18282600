"""The gateway's admin page: a socket file of this user's, in a folder whose name is short enough, and what it says."""

import pathlib
import stat

import pytest

from services.launcher import admin
from tests.fakes import admin_page


@pytest.fixture
def long_folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / ("x" * 90)


def test_a_short_home_holds_the_socket_itself() -> None:
    assert admin.place(pathlib.Path("/h/gateway"), "/tmp/cortex-1/admin.sock", {}) == "/h/gateway/admin.sock"


def test_a_long_home_gets_a_private_folder_once(long_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = pathlib.Path(admin.place(long_folder, "", {"XDG_RUNTIME_DIR": "/none"}))
    try:
        assert len(str(path)) < 100 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert admin.place(long_folder, str(path), {}) == str(path)
        # Anybody can make a folder of the same name once ours was swept.
        path.parent.chmod(0o755)
        another = pathlib.Path(admin.place(long_folder, str(path), {"XDG_RUNTIME_DIR": ""}))
        assert another.parent != path.parent
        another.parent.rmdir()
    finally:
        admin.clear(str(path), long_folder)
    assert not path.parent.exists()


def test_what_was_made_for_the_socket_goes_with_it_and_the_home_stays(tmp_path: pathlib.Path) -> None:
    (tmp_path / "admin.sock").touch()
    admin.clear(str(tmp_path / "admin.sock"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_answers_and_one_that_says_no(tmp_path: pathlib.Path) -> None:
    page = admin_page.AdminPage(tmp_path, lambda _: (200, "LIVE"))
    assert admin.ask(page.path, "GET", "/ready", timeout=5) == "LIVE"
    page.answer = lambda _: (503, "INITIALIZING")
    with pytest.raises(admin.Unreachable, match="503"):
        admin.ask(page.path, "GET", "/ready", timeout=5)
    page.close()
    with pytest.raises(admin.Unreachable, match=r"admin\.sock"):
        admin.ask(page.path, "GET", "/ready", timeout=5)
