"""What the front and a worker say to each other over a Unix socket pair: length-prefixed frames, pipelined.

A frame is a fixed header, a head (small fields) and a body (raw bytes, never serialised a second time). Two sockets
connect the pair: `data` carries requests and answers, `control` what must be heard while the worker is busy.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Tuple

from . import shared

# Bytes after the header, number of the request, length of the head, kind.
HEADER = struct.Struct("<IIIB")
HEADER_SIZE = HEADER.size

# Data socket, front to worker.
REQUEST = 1
BATCH = 2  # the requests that follow, as many as the head says (4 bytes), are one call; the number is the first one's
GO = 3  # a parked request has the permit (again); head as of CREDIT, where 0 means that nobody waits any more
SHARED = 0x80  # added to REQUEST: the body is in shared memory, and here is only its place (shared.py)
# Data socket, worker to front.
RESPONSE = 10  # a whole answer; gives the permit back unless HELD is set
STREAM_HEAD = 11  # the answer begins and comes in chunks
STREAM_CHUNK = 12
STREAM_END = 13
STREAM_ERROR = 14  # the answer broke off after it had begun
RELEASE = 15  # the permit of this request is free; its answer may still come. Of a batch: head tells its microseconds
LOADED = 16  # JSON: what the predictor offers
LOAD_FAILED = 17  # JSON: reason and traceback
PARKED = 18  # this request holds no permit and waits to go on; head as of CREDIT, as far as the worker knows
# Control socket, front to worker.
SETUP = 30  # JSON: what to load
CANCEL = 31
CREDIT = 32  # the stream may have sent as many chunks, since it began, as the head says (4 bytes)
TOLD = 33  # the answer to an ask: JSON in the head, bytes in the body
# Control socket, worker to front.
ASK = 40  # JSON in the head, bytes in the body (asks.py)
FORGET = 41  # nobody waits for the answer to this ask any more

# Among the headers of a request whose predictor asks for it; no header of a caller's can have this name.
DEADLINE_FIELD = ":deadline"

# Flags of a response head.
HELD = 1

# Credit a stream has before the front grants more. A chunk costs one, and one more for each 2 KiB, so that the window
# bounds bytes and small chunks alike: a thousand of the smallest, or 31 of the largest.
WINDOW = 1024
CHUNK_BYTES = 64 * 1024
_COST_SHIFT = 11

RESPONSE_HEAD = struct.Struct("<HBI")  # status, flags, microseconds the user's code took
CREDIT_HEAD = COUNT_HEAD = MICROS_HEAD = struct.Struct("<I")
# The page that a worker shares with the front. Written by the worker: the number of the newest request it began.
PROGRESS = struct.Struct("<Q")
# Written by the front while the worker stands still: the newest request begun and the newest sent. The worker skips
# those in between, should it go on: others have got them.
REVOKED = struct.Struct("<QQ")
REVOKED_AT = PROGRESS.size

Frame = Tuple[int, int, bytes, bytes]  # kind, number, head, body


def cost(chunk: bytes) -> int:
    """Of a chunk, in credit."""
    return 1 + (len(chunk) >> _COST_SHIFT)


def pack(kind: int, number: int, head: bytes = b"", body: bytes = b"") -> bytes:
    """One frame as one piece; for small bodies, where a copy is cheaper than a second write."""
    return HEADER.pack(len(head) + len(body), number, len(head), kind) + head + body


def pack_start(kind: int, number: int, head: bytes, body_size: int) -> bytes:
    """All of a frame but its body, which the caller writes right after."""
    return HEADER.pack(len(head) + body_size, number, len(head), kind) + head


def request_head(fields: Sequence[bytes]) -> bytes:
    """Joins method, path, query, content type, request id, traceparent, then header names and values in turn."""
    return b"\0".join(fields)


def response_head(status: int, flags: int, micros: int, fields: Sequence[str]) -> bytes:
    """Joins content type, reason, prediction, then header names and values in turn."""
    told = "\0".join(fields).encode("utf-8", "replace")
    return RESPONSE_HEAD.pack(status, flags, micros if micros < 0xFFFFFFFF else 0xFFFFFFFF) + told


def parse_response_head(head: bytes) -> tuple[int, int, int, list[bytes]]:
    status, flags, micros = RESPONSE_HEAD.unpack_from(head)
    return status, flags, micros, head[RESPONSE_HEAD.size :].split(b"\0")


class Decoder:
    """Cuts a stream of bytes into frames. `bodies` knows those that are in shared memory."""

    def __init__(self, bodies: shared.Bodies | None = None) -> None:
        self._bodies = bodies
        self._rest: bytearray | None = None
        self._need = HEADER_SIZE

    @property
    def missing(self) -> int:
        """Bytes still to come before the next frame is whole, as far as is known."""
        return self._need - (len(self._rest) if self._rest is not None else 0)

    def feed(self, data: bytes) -> list[Frame]:
        rest = self._rest
        if rest is not None:
            rest += data
            if len(rest) < self._need:
                return []
            data = bytes(rest)
            self._rest = None
        found = []
        at, size = 0, len(data)
        need = HEADER_SIZE
        while size - at >= HEADER_SIZE:
            length, number, head, kind = HEADER.unpack_from(data, at)
            need = HEADER_SIZE + length
            if at + need > size:
                break
            begin = at + HEADER_SIZE
            middle = begin + head
            at += need
            body = data[middle:at]
            if kind & SHARED and self._bodies is not None:
                kind, body = kind ^ SHARED, self._bodies.read(body)
            found.append((kind, number, data[begin:middle], body))
            need = HEADER_SIZE
        if at < size:
            self._rest = bytearray(data[at:])
        self._need = need
        return found
