"""A gateway's admin page on a socket file, which answers what it is told to."""

import pathlib
import socket
import threading
from collections.abc import Callable

Answer = tuple[int, str]


class AdminPage:
    """`answer` gets method and URL; `asked` remembers them."""

    def __init__(self, folder: pathlib.Path, answer: Callable[[str], Answer]) -> None:
        self.path = str(folder / "admin.sock")
        self.answer = answer
        self.asked: list[str] = []
        self._server = socket.create_server(self.path, family=socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                line = connection.recv(10_000).decode().split("\r\n", 1)[0].removesuffix(" HTTP/1.1")
                self.asked.append(line)
                status, body = self.answer(line)
                head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n"
                connection.sendall((head + body).encode())

    def close(self) -> None:
        pathlib.Path(self.path).unlink(missing_ok=True)
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)
