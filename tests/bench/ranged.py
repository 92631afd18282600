"""The ceiling of a model load: ranged GETs on raw sockets, received straight into a mapped file, nothing verified.

`python -m tests.bench.ranged HOST PORT PATH SIZE TARGET CONNECTIONS`; prints seconds of wall and CPU time.
"""

import mmap
import os
import socket
import sys
import threading
import time

_PART = 32 << 20
_PIECE = 1 << 20


def fetch(host: str, port: int, path: str, size: int, target: str, connections: int) -> None:
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.ftruncate(fd, size)
    with mmap.mmap(fd, size) as mapped, memoryview(mapped) as view:
        starts = iter(range(0, size, _PART))
        lock = threading.Lock()

        def run() -> None:
            with socket.create_connection((host, port)) as sock:
                while True:
                    with lock:
                        at = next(starts, None)
                    if at is None:
                        return
                    _part(sock, path, view, at, min(at + _PART, size))

        threads = [threading.Thread(target=run) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    os.close(fd)


def _part(sock: socket.socket, path: str, view: memoryview, at: int, end: int) -> None:
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: store\r\nRange: bytes={at}-{end - 1}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(4096)
    body = head.partition(b"\r\n\r\n")[2]
    view[at : at + len(body)] = body
    at += len(body)
    while at < end:
        got = sock.recv_into(view[at : min(end, at + _PIECE)])
        if not got:
            raise ConnectionResetError
        at += got


if __name__ == "__main__":
    began, used = time.perf_counter(), time.process_time()
    host, port, path, size, target, connections = sys.argv[1:]
    fetch(host, int(port), path, int(size), target, int(connections))
    print(time.perf_counter() - began, time.process_time() - used)
