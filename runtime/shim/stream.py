"""What a generator yields, as the chunks of one answer: events or lines for who accepts them, else by first item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import encode, frames


class Opening:
    """Content type of a stream and how its items become bytes, decided by the first item."""

    __slots__ = ("content_type", "encode", "events")

    def __init__(self, first: Any, accepts: str, answer: encode.Encoded) -> None:
        self.events = False
        declared = answer.content_type
        if answer.item is not None:
            self.content_type, self.encode = declared, answer.item
        elif declared:
            self.content_type, self.encode = declared, _raw
        elif accepts == "events":
            self.content_type, self.encode = "text/event-stream", event
            self.events = True
        elif accepts == "lines":
            self.content_type, self.encode = "application/x-ndjson", _line
        elif isinstance(first, (bytes, bytearray, memoryview)):
            self.content_type, self.encode = "application/octet-stream", _raw
        elif isinstance(first, str):
            self.content_type, self.encode = "text/plain; charset=utf-8", _raw
        else:
            self.content_type, self.encode = "application/x-ndjson", _line


def event(item: Any) -> bytes:
    """One server-sent event; text that is one already passes as it is."""
    if isinstance(item, (bytes, bytearray, memoryview)):
        item = bytes(item).decode("utf-8", "replace")
    if not isinstance(item, str):
        item = encode.to_json(item).decode("utf-8")
    elif item.startswith(("data:", "event:", "id:", "retry:", ":")) and item.endswith("\n\n"):
        return item.encode("utf-8", "replace")
    lines = item.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {line}\n" for line in lines).encode("utf-8", "replace") + b"\n"


def broken_event(text: str, request_id: str) -> bytes:
    """Tells the reader of a stream of events that it ended early."""
    return b"event: error\ndata: " + encode.to_json({"error": text, "request_id": request_id}) + b"\n\n"


def _raw(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "replace")
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    return encode.to_json(item)


def _line(item: Any) -> bytes:
    if isinstance(item, (bytes, bytearray, memoryview)):
        item = bytes(item).decode("utf-8", "replace")
    return encode.to_json(item) + b"\n"


def pieces(data: bytes) -> Iterator[bytes]:
    """`data` in chunks of bounded size, so that the window bounds bytes as well."""
    if len(data) <= frames.CHUNK_BYTES:
        if data:
            yield data
        return
    for at in range(0, len(data), frames.CHUNK_BYTES):
        yield data[at : at + frames.CHUNK_BYTES]
