"""An object store as fast as a disk: the few S3 requests the runtime makes, over plain HTTP, with sendfile.

`python -m tests.fakes.object_store FOLDER PORT [RATE PAUSE]` serves FOLDER/<bucket>/<key>. In tests it also misbehaves
on request: moto is the judge of the protocol (tests/models/test_moto.py), this one of speed and of faults.
"""

import base64
import contextlib
import dataclasses
import email.utils
import hashlib
import html
import os
import pathlib
import socket
import socketserver
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from awscrt import checksums

ENVIRON = {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret", "AWS_REGION": "us-east-1"}


@dataclasses.dataclass
class Faults:
    """What goes wrong from now on. Counts are of requests for parts."""

    refuse: int = 0  # so many with 503
    cut: int = 0  # so many end in the middle
    corrupt: int = 0  # so many with a byte changed
    refuse_heads: int = 0  # so many requests for what is known of an object, with 503
    answer: bytes = b""  # to everything
    moved_to: str = ""  # the region that the bucket is in; hosts of other regions say so
    deny: bool = False
    pause: float = 0.0  # before the first byte of a part
    rate: int = 0  # bytes per second of one connection; 0: all there is


class Store:
    """The server, on threads of this process until `close`."""

    def __init__(self, folder: pathlib.Path, port: int = 0, *, checksums_offered: bool = True) -> None:
        self.folder = folder
        self.faults = Faults()
        self.offers_checksums = checksums_offered
        self.parts = 0  # requests for bytes of objects
        self.sent = 0
        self.connections = 0  # open now
        self.seen_authorization: set[str] = set()
        self.seen_keys: set[str] = set()
        self.lock = threading.Lock()
        self._sums: dict[tuple[str, int], str] = {}
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with outer.lock:
                    outer.connections += 1
                try:
                    with contextlib.suppress(OSError):
                        _Connection(outer, self.request).run()
                finally:
                    with outer.lock:
                        outer.connections -= 1

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, bucket: str, key: str, data: bytes) -> None:
        path = self.folder / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.new")
        part.write_bytes(data)
        part.replace(path)

    def environ(self) -> dict[str, str]:
        """By which clients find it."""
        return {**ENVIRON, "AWS_ENDPOINT_URL": self.url}

    def checksum(self, path: pathlib.Path) -> str:
        key = (str(path), path.stat().st_mtime_ns)
        with self.lock:
            if key not in self._sums:
                crc = 0
                with path.open("rb") as file:
                    while data := file.read(1 << 20):
                        crc = checksums.crc64nvme(data, crc)
                self._sums[key] = base64.b64encode(crc.to_bytes(8, "big")).decode()
            return self._sums[key]

    def take_fault(self, name: str) -> bool:
        with self.lock:
            left: int = getattr(self.faults, name)
            setattr(self.faults, name, max(0, left - 1))
            return left > 0


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[Store]:
    """A store whose `bucket` is empty; its objects are files below `folder`."""
    (folder / "bucket").mkdir(parents=True)
    store = Store(folder)
    try:
        yield store
    finally:
        store.close()


class _Connection:
    def __init__(self, store: Store, sock: socket.socket) -> None:
        self._store = store
        self._sock = sock
        self._rest = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        while True:
            while b"\r\n\r\n" not in self._rest:
                data = self._sock.recv(65536)
                if not data:
                    return
                self._rest += data
            head, _, self._rest = self._rest.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, target, _ = lines[0].split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            self._answer(method, target, headers)

    def _answer(self, method: str, target: str, headers: dict[str, str]) -> None:
        store = self._store
        scheme, _, signed = headers.get("authorization", "").partition(" ")
        store.seen_authorization.add(scheme)
        store.seen_keys.add(signed.partition("Credential=")[2].partition("/")[0])
        path, _, query = target.partition("?")
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        if store.faults.answer:
            self._sock.sendall(store.faults.answer)
        elif store.faults.moved_to and store.faults.moved_to not in headers["host"]:
            self._error(301, "PermanentRedirect", "It is elsewhere", {"x-amz-bucket-region": store.faults.moved_to})
        elif store.faults.deny:
            self._error(403, "AccessDenied", "Access Denied")
        elif not (store.folder / bucket).is_dir():
            self._error(404, "NoSuchBucket", "The specified bucket does not exist")
        elif not key:
            self._list(bucket, dict(urllib.parse.parse_qsl(query)))
        elif not (store.folder / bucket / key).is_file():
            self._error(404, "NoSuchKey", "The specified key does not exist.")
        else:
            self._object(method, store.folder / bucket / key, headers)

    def _error(self, status: int, code: str, text: str, more: Mapping[str, str] = MappingProxyType({})) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{text}</Message></Error>".encode()
        self._head(status, {"content-length": str(len(body)), "content-type": "application/xml", **more})
        self._sock.sendall(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._sock.sendall(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode())

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        root = self._store.folder / bucket
        keys = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        keys = [
            key
            for key in keys
            if key.startswith(query.get("prefix", "")) and not pathlib.Path(key).name.startswith(".")
        ]
        after = query.get("continuation-token", "")
        page = [key for key in keys if key > after][:1000]
        more = bool(page) and page[-1] != keys[-1]
        quote = urllib.parse.quote_plus if query.get("encoding-type") == "url" else html.escape
        entries = "".join(f"<Contents><Key>{quote(key)}</Key>{_entry(root / key)}</Contents>" for key in page)
        token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
        body = (
            f"<?xml version='1.0'?><ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{entries}{token}"
            f"<EncodingType>{query.get('encoding-type', '')}</EncodingType></ListBucketResult>"
        ).encode()
        self._head(200, {"content-length": str(len(body))})
        self._sock.sendall(body)

    def _object(self, method: str, path: pathlib.Path, headers: dict[str, str]) -> None:
        store, stat = self._store, path.stat()
        told = {"etag": etag(path), "accept-ranges": "bytes", "last-modified": email.utils.formatdate(stat.st_mtime)}
        if method == "HEAD":
            if store.take_fault("refuse_heads"):
                self._head(503, {})
                return
            if store.offers_checksums and headers.get("x-amz-checksum-mode") == "ENABLED":
                told |= {"x-amz-checksum-crc64nvme": store.checksum(path), "x-amz-checksum-type": "FULL_OBJECT"}
            self._head(200, told | {"content-length": str(stat.st_size)})
            return
        if headers.get("if-match", told["etag"]) != told["etag"]:
            self._error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
            return
        first, last = 0, stat.st_size - 1
        if "range" in headers:
            begin, _, end = headers["range"].removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end), last)
        with store.lock:
            store.parts += 1
        if store.take_fault("refuse"):
            self._error(503, "SlowDown", "Please reduce your request rate.")
            return
        time.sleep(store.faults.pause)
        size = last - first + 1
        told |= {"content-length": str(size), "content-range": f"bytes {first}-{last}/{stat.st_size}"}
        self._head(206, told)
        self._send(path, first, size)

    def _send(self, path: pathlib.Path, first: int, size: int) -> None:
        store = self._store
        if store.take_fault("cut"):
            size //= 2
            with path.open("rb") as file:
                os.sendfile(self._sock.fileno(), file.fileno(), first, size)
            self._sock.shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError
        if store.take_fault("corrupt"):
            data = bytearray(path.read_bytes()[first : first + size])
            data[len(data) // 2] ^= 1
            self._sock.sendall(data)
            return
        piece = min(1 << 20, store.faults.rate // 20) if store.faults.rate else 1 << 30
        began, done = time.monotonic(), 0
        with path.open("rb") as file:
            while done < size:
                done += os.sendfile(self._sock.fileno(), file.fileno(), first + done, min(piece, size - done))
                if store.faults.rate:
                    time.sleep(max(0.0, began + done / store.faults.rate - time.monotonic()))
        with store.lock:
            store.sent += size


def etag(path: pathlib.Path) -> str:
    stat = path.stat()
    return f'"{hashlib.md5(f"{path}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()}-1"'


def _entry(path: pathlib.Path) -> str:
    return f"<Size>{path.stat().st_size}</Size><ETag>{etag(path).replace(chr(34), '&quot;')}</ETag>"


def main(arguments: Any) -> None:
    store = Store(pathlib.Path(arguments[0]), int(arguments[1]))
    rate, pause = (float(text) for text in arguments[2:4] or (0, 0))
    store.faults = Faults(rate=int(rate), pause=pause)
    print(store.url, flush=True)
    sys.stdin.read()  # until who started us goes
    store.close()


if __name__ == "__main__":
    main(sys.argv[1:])
