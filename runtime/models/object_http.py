"""Requests to an object store over HTTP/1.1: blocking sockets, one for each thread, bodies into a buffer.

To read 256 KiB at a time into one buffer, sum it while it is in the cache and write it where it belongs takes less CPU
than to receive into a mapped file, and a fraction of what the SDKs take (docs/benchmarks/README.md).
"""

import datetime
import socket
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping

from runtime.models import credentials, signing

_TIMEOUT_SECONDS = 20.0
_EXPIRED = ("ExpiredToken", "TokenRefreshRequired")
_LARGEST_HEAD = 64 * 1024
_LARGEST_DOCUMENT = 16 * 1024 * 1024
_BUFFER_BYTES = 256 * 1024


class StoreError(Exception):
    """The store said no. `status` 0: it said nothing at all. `is_final` where asking again changes nothing.

    `code` is the store's own word for it, empty where it sent none.
    """

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None, code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.is_final = 300 <= status < 500 and status not in (408, 429)


class Bucket:
    """Where a bucket is and how to ask it. Frozen but for the region, which AWS corrects once."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self.name = name
        self.region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self.endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
        self._ca = environ.get("AWS_CA_BUNDLE") or None
        self._identity = credentials.Provider(environ)
        self._context: ssl.SSLContext | None = None

    @property
    def base(self) -> urllib.parse.SplitResult:
        """A bucket of AWS has a host of its own; elsewhere, and with dots in its name, it is the first folder."""
        if self.endpoint:
            return urllib.parse.urlsplit(f"{self.endpoint.rstrip('/')}/{signing.quote(self.name)}")
        host = f"s3.{self.region}.amazonaws.com"
        if "." in self.name:
            return urllib.parse.urlsplit(f"https://{host}/{self.name}")
        return urllib.parse.urlsplit(f"https://{self.name}.{host}")

    @property
    def is_anonymous(self) -> bool:
        """Whether requests go unsigned, as nobody told who we are."""
        return not self._identity.get().access_key

    def expired(self) -> None:
        self._identity.expired()

    def connect(self) -> socket.socket:
        base = self.base
        port = base.port or (443 if base.scheme == "https" else 80)
        sock = socket.create_connection((base.hostname or "", port), timeout=_TIMEOUT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if base.scheme != "https":
            return sock
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._ca)
        return self._context.wrap_socket(sock, server_hostname=base.hostname)

    def head(self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
        """The bytes of a signed request."""
        base = self.base
        path = f"{base.path}/{signing.quote(key, '/')}"
        signed = signing.signed_headers(
            self._identity.get(), region=self.region, method=method, host=base.netloc, path=path, query=query,
            headers=headers, now=datetime.datetime.now(datetime.UTC),
        )  # fmt: skip
        target = f"{path}?{signing.query_string(query)}" if query else path
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()


class Connection:
    """One socket, opened when needed and again after a failure."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._sock: socket.socket | None = None
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._rest = b""
        self._left = 0
        self._keeps = True

    def request(
        self, method: str, key: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        """Sends a request and returns the reply's headers; its body is then read by `chunks` or `document`.

        Raises StoreError, and OSError when the connection breaks.
        """
        if self._left or not self._keeps:
            self.close()  # the rest of an answer nobody wanted
        try:
            if self._sock is None:
                self._sock = self._bucket.connect()
            self._sock.sendall(self._bucket.head(method, key, query or {}, headers or {}))
            status, found = self._read_head()
        except OSError:
            self.close()
            raise
        self._keeps = found.get("connection", "").lower() != "close"
        self._left = 0 if method == "HEAD" or status == 204 else self._length(found)
        if status >= 300:
            text = self.document().decode("utf-8", "replace") if method != "HEAD" else ""
            code = _between(text, "Code")
            if code in _EXPIRED:
                self._bucket.expired()
            raise StoreError(status, _meaning(status, text), found, code)
        return found

    def chunks(self) -> Iterator[memoryview]:
        """The body in pieces of one buffer, which is used again for the next one. Raises OSError when it breaks off."""
        while self._left:
            size = self._fill(min(self._left, _BUFFER_BYTES))
            self._left -= size
            yield self._buffer[:size]

    def document(self) -> bytes:
        if self._left > _LARGEST_DOCUMENT:
            raise StoreError(0, f"the object store sent a document of {self._left} bytes")
        return b"".join(bytes(piece) for piece in self.chunks())

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
        self._sock, self._rest, self._left, self._keeps = None, b"", 0, True

    def _fill(self, wanted: int) -> int:
        have = min(len(self._rest), wanted)
        self._buffer[:have] = self._rest[:have]
        self._rest = self._rest[have:]
        assert self._sock is not None
        while have < wanted:
            size = self._sock.recv_into(self._buffer[have:wanted])
            if not size:
                self.close()
                raise ConnectionResetError("the object store closed the connection in the middle of an object")
            have += size
        return have

    def _read_head(self) -> tuple[int, Mapping[str, str]]:
        assert self._sock is not None
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._sock.recv(16384)
            if not piece or len(data) > _LARGEST_HEAD:
                raise ConnectionResetError("the object store closed the connection before it answered")
            data += piece
        head, _, self._rest = data.partition(b"\r\n\r\n")
        first, _, lines = head.partition(b"\r\n")
        # Without the standard library's parser, whose import takes longer than many a model.
        pairs = (line.partition(":") for line in lines.decode("latin-1").split("\r\n"))
        protocol, _, rest = first.partition(b" ")
        if not protocol.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            self.close()
            raise StoreError(0, f"what answers there does not speak HTTP: {first[:80]!r}")
        return int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in pairs}

    def _length(self, headers: Mapping[str, str]) -> int:
        if "content-length" in headers:
            return self._number(headers["content-length"], 10)
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._read_chunked()
            self._rest = body
            return len(body)
        self._keeps = False
        return 0

    def _read_chunked(self) -> bytes:
        """A small body whose length was not known to who sent it: an error document, a listing."""
        assert self._sock is not None
        body = b""
        while True:
            while b"\r\n" not in self._rest:
                self._rest += self._more()
            size_text, _, self._rest = self._rest.partition(b"\r\n")
            size = self._number(size_text.split(b";")[0].decode("latin-1"), 16)
            if len(body) + size > _LARGEST_DOCUMENT:
                raise StoreError(0, "the object store sent a document that is too large")
            while len(self._rest) < size + 2:
                self._rest += self._more()
            body, self._rest = body + self._rest[:size], self._rest[size + 2 :]
            if not size:
                return body

    def _number(self, text: str, base: int) -> int:
        try:
            number = int(text, base)
        except ValueError:
            number = -1
        if number < 0:
            self.close()
            raise StoreError(0, f"the object store sent a length that is none: {text[:80]!r}")
        return number

    def _more(self) -> bytes:
        assert self._sock is not None
        data = self._sock.recv(65536)
        if not data:
            self.close()
            raise ConnectionResetError("the object store closed the connection in the middle of an answer")
        return data


def _meaning(status: int, document: str) -> str:
    """The store's own words, from its XML."""
    code, text = (_between(document, name) for name in ("Code", "Message"))
    words = f"{code}: {text}" if code else {403: "AccessDenied", 404: "NotFound"}.get(status, "")
    return f"HTTP {status} {words}".strip()


def _between(document: str, name: str) -> str:
    return document.partition(f"<{name}>")[2].partition(f"</{name}>")[0][:500]
