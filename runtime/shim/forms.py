"""Form bodies: `multipart/form-data` and `application/x-www-form-urlencoded`."""

from __future__ import annotations

import io
import re
import urllib.parse
from collections.abc import Generator
from typing import Any

from .mappings import Headers, MultiDict, parameter

_MAX_FIELDS = 1000


class _Content(bytes):
    """What `read()` returns: bytes that may also be awaited, so that `upload.read()` serves a plain and an async
    predictor alike."""

    def __await__(self) -> Generator[Any, None, bytes]:
        yield from ()
        return bytes(self)


class _Done:
    """What `seek()` and the like return: nothing, which may also be awaited."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


class UploadFile:
    """A file of a form. `file` is a binary file object."""

    def __init__(self, filename: str, headers: Headers, content: bytes) -> None:
        self.filename = filename
        self.headers = headers
        self.content_type = headers.get("content-type")
        self.size = len(content)
        self.file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return _Content(self.file.read(size))

    def write(self, data: bytes) -> _Done:
        self.file.write(data)
        self.size = max(self.size, self.file.tell())
        return _Done()

    def seek(self, offset: int) -> _Done:
        self.file.seek(offset)
        return _Done()

    def close(self) -> _Done:
        self.file.close()
        return _Done()

    def __repr__(self) -> str:
        return f"UploadFile(filename={self.filename!r}, size={self.size})"


class FormData(MultiDict):
    """The fields of a form: each a str or an UploadFile."""

    def close(self) -> _Done:
        for _, value in self.multi_items():
            if isinstance(value, UploadFile):
                value.close()
        return _Done()


def parse_urlencoded(body: bytes, charset: str) -> FormData:
    text = body.decode(charset)
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, encoding=charset)
    return FormData(pairs)


def parse_multipart(body: bytes, boundary: str) -> FormData:
    """RFC 7578. Raises ValueError with a text for the caller when the body is not well formed."""
    if not boundary:
        raise ValueError("the content type of a multipart form needs a boundary")
    fence = b"--" + boundary.encode("latin-1")
    pieces = (b"\r\n" + body).split(b"\r\n" + fence)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise ValueError("the multipart form is cut short or lacks its boundary")
    if len(pieces) > _MAX_FIELDS + 2:
        raise ValueError(f"the form has more than {_MAX_FIELDS} fields")
    return FormData([_part(piece) for piece in pieces[1:-1]])


def _part(piece: bytes) -> tuple[str, Any]:
    head, found, content = piece.partition(b"\r\n\r\n")
    if not found:
        raise ValueError("a part of the multipart form has no end of headers")
    headers = Headers(_header_lines(head))
    disposition = headers.get("content-disposition", "")
    name = parameter(disposition, "name")
    if not name:
        raise ValueError("a part of the multipart form has no name")
    filename = _filename(disposition)
    if filename is not None:
        return name, UploadFile(filename, headers, content)
    return name, content.decode(parameter(headers.get("content-type", ""), "charset") or "utf-8")


def _filename(disposition: str) -> str | None:
    """None for a field. An empty name is a file that a browser's user did not choose."""
    charset, quoted, encoded = parameter(disposition, "filename*").partition("''")
    if quoted:
        return urllib.parse.unquote(encoded, charset or "utf-8")
    name = parameter(disposition, "filename")
    return name if name or re.search(r";\s*filename\s*=", disposition, re.IGNORECASE) else None


def _header_lines(head: bytes) -> list[tuple[str, str]]:
    lines = [line for line in head.decode("utf-8").split("\r\n") if line.strip()]
    pairs = [line.partition(":") for line in lines]
    return [(name.strip(), value.strip()) for name, _, value in pairs]
