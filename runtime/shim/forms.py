"""Form bodies: `multipart/form-data` and `application/x-www-form-urlencoded`."""

from __future__ import annotations

import io
import urllib.parse
from collections.abc import Generator
from typing import Any

from .mappings import FormData, Headers, parameter

_MAX_FIELDS = 1000


class _Content(bytes):
    """What `read()` returns: bytes that may also be awaited, so that `upload.read()` serves a plain and an async
    predictor alike."""

    def __await__(self) -> Generator[Any, None, bytes]:
        yield from ()
        return bytes(self)


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

    def seek(self, offset: int) -> None:
        self.file.seek(offset)

    def __repr__(self) -> str:
        return f"UploadFile(filename={self.filename!r}, size={self.size})"


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
    filename = parameter(disposition, "filename")
    if filename:
        return name, UploadFile(filename, headers, content)
    return name, content.decode("utf-8")


def _header_lines(head: bytes) -> list[tuple[str, str]]:
    lines = [line for line in head.decode("utf-8").split("\r\n") if line.strip()]
    pairs = [line.partition(":") for line in lines]
    return [(name.strip(), value.strip()) for name, _, value in pairs]
