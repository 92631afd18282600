"""Bodies with a content-encoding: gzip and deflate, as the protocol's clients offer, within bounds."""

import asyncio
import zlib

from runtime.inference import InferError

# A body may grow this much, or to the free size, whatever its encoding promises: more is an attack, or near enough.
_MOST_GROWTH = 100
_FREE_BYTES = 8 * 1024 * 1024
# Larger bodies are handled on a thread; zlib lets go of the interpreter meanwhile.
_INLINE_BYTES = 64 * 1024
_LEAST_TO_COMPRESS = 1024
_ANY_HEADER = 47  # zlib's or gzip's
_NO_HEADER = -15
_GZIP = 31
_ZLIB = 15


async def decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Raises InferError 415 for other encodings, 413 for what gets too large, 400 for what is broken."""
    kind = encoding.strip().lower()
    if kind in (b"", b"identity"):
        return body
    if kind not in (b"gzip", b"x-gzip", b"deflate"):
        shown = encoding[:40].decode("latin-1")
        raise InferError(415, f"content-encoding {shown!r} is not understood; gzip and deflate are")
    if len(body) <= 1024:
        return _inflate(body, most(len(body), limit))
    return await asyncio.to_thread(_inflate, body, most(len(body), limit))


def most(size: int, limit: int) -> int:
    """Bytes that a body of `size` may become."""
    return min(limit, max(_FREE_BYTES, size * _MOST_GROWTH))


def _inflate(body: bytes, most: int) -> bytes:
    try:
        return _all_of(zlib.decompressobj(_ANY_HEADER), body, most)
    except zlib.error:
        pass  # some send deflate without zlib's header
    try:
        return _all_of(zlib.decompressobj(_NO_HEADER), body, most)
    except zlib.error as error:
        told = f"the body is not what its content-encoding says: {error}"
        raise InferError(400, told, "PAYLOAD_MALFORMED") from None


def _all_of(inflater: "zlib._Decompress", body: bytes, most: int) -> bytes:
    data = inflater.decompress(body, most + 1)
    if len(data) > most:
        raise InferError(413, f"the body would be larger than {most} bytes when decompressed", "PAYLOAD_TOO_LARGE")
    if not inflater.eof:
        raise zlib.error("it ends too early")
    if inflater.unused_data:
        raise zlib.error("there is more behind its end")
    return data


def wanted(accept: bytes) -> bytes:
    """The encoding a caller asks for: who names one alone means it, who names several merely offers."""
    kind = accept.strip().lower()
    return kind if kind in (b"gzip", b"deflate") else b""


async def compress(body: bytes, kind: bytes) -> "bytes | None":
    """None when it is not worth it."""
    if not kind or len(body) < _LEAST_TO_COMPRESS:
        return None
    bits = _GZIP if kind == b"gzip" else _ZLIB
    if len(body) <= _INLINE_BYTES:
        return _deflate(body, bits)
    return await asyncio.to_thread(_deflate, body, bits)


def _deflate(body: bytes, bits: int) -> bytes:
    worker = zlib.compressobj(1, zlib.DEFLATED, bits)
    return worker.compress(body) + worker.flush()
