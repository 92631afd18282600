"""The gateway's admin page: a socket file of this user's, in a folder whose name is short enough, and what it says."""

import os
import pathlib
import socket
import stat
import threading
from collections.abc import Iterator

import pytest

from services.launcher import admin

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nLIVE"
_NOT_YET = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nINIT"


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


@pytest.fixture
def page(tmp_path: pathlib.Path) -> Iterator[tuple[str, list[bytes]]]:
    """A page that gives the answers that are put into the list."""
    path, answers = str(tmp_path / "admin.sock"), [_OK]
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(10_000)
                connection.sendall(answers[-1])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield path, answers
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


def test_a_page_that_answers_and_one_that_says_no(page: tuple[str, list[bytes]]) -> None:
    path, answers = page
    assert admin.ask(path, "GET", "/ready", timeout=5) == "LIVE"
    answers.append(_NOT_YET)
    with pytest.raises(admin.Unreachable, match="503"):
        admin.ask(path, "GET", "/ready", timeout=5)
    os.unlink(path)
    with pytest.raises(admin.Unreachable, match=r"admin\.sock"):
        admin.ask(path, "GET", "/ready", timeout=5)
