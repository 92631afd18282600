"""Envoy's admin page, which may do anything to the gateway and asks nobody's name: so it stands on a socket file that
only this user can open, never on a port, where every web page in the user's browser could post to it.
"""

import contextlib
import http.client
import os
import pathlib
import socket
import stat
import tempfile
from collections.abc import Mapping

# The kernel takes 107 bytes; the rest is room for nothing but caution.
_LONGEST = 99
_NAME = "admin.sock"


class Unreachable(ConnectionError):
    """Nobody answers at the socket, or not in time."""


def place(folder: pathlib.Path, known: str, environ: Mapping[str, str]) -> str:
    """The path of the socket: in `folder`, or, where that is too long a name for a socket, in a private folder made for
    it. `known` is the path in use so far, kept if it still is good."""
    path = folder / _NAME
    if len(os.fsencode(path)) <= _LONGEST:
        return str(path)
    if known and _is_private(pathlib.Path(known).parent):
        return known
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    parent = runtime if runtime and len(runtime) < _LONGEST // 2 and os.access(runtime, os.W_OK) else "/tmp"  # noqa: S108
    return str(pathlib.Path(tempfile.mkdtemp(prefix="cortex-", dir=parent), _NAME))


def clear(path: str, folder: pathlib.Path) -> None:
    """Removes the socket of a gateway that has ended, and the folder that was made for it."""
    socket_file = pathlib.Path(path)
    with contextlib.suppress(OSError):
        socket_file.unlink(missing_ok=True)
        if socket_file.parent != folder:
            socket_file.parent.rmdir()


def ask(path: str, method: str, url: str, *, timeout: float) -> str:
    """The body of the answer, which has status 200. Raises Unreachable."""
    with contextlib.closing(_Connection(path, timeout)) as connection:
        try:
            connection.request(method, url)
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{path}: {error}") from error
        if answer.status != http.HTTPStatus.OK:
            raise Unreachable(f"{path}: {method} {url} is answered by status {answer.status}")
        return body


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _is_private(folder: pathlib.Path) -> bool:
    """A folder for temporary files is swept, and what is missing there can be made by others under the same name."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
