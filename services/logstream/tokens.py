"""Resume tokens: where a tail stood in every file, bound to the API it tailed. Opaque to callers, not secret.

A token travels with every message, so one of many replicas is compressed.
"""

import base64
import binascii
import hashlib
import json
import zlib
from typing import Any

from services.chassis import errors

_VERSION = "1"
_LARGEST_TOKEN = 256 * 1024
_LARGEST_BODY = 4 * 1024 * 1024


def seal(identity: tuple[str, ...], position: Any) -> str:
    body = json.dumps([_digest(identity), position], separators=(",", ":")).encode()
    return _VERSION + base64.urlsafe_b64encode(zlib.compress(body, 1)).decode().rstrip("=")


def open_token(identity: tuple[str, ...], token: str) -> Any:
    """The position inside, None for an empty token. Raises errors.InvalidArgument."""
    if not token:
        return None
    try:
        digest, position = json.loads(_inflate(token))
    except (ValueError, TypeError, binascii.Error, zlib.error, RecursionError):
        digest, position = "", None
    if digest != _digest(identity):
        raise errors.InvalidArgument(
            "this resume token is not of this API's log; start again without one", reason="INVALID_RESUME_TOKEN"
        )
    return position


def _inflate(token: str) -> bytes:
    if token[0] != _VERSION or len(token) > _LARGEST_TOKEN:
        raise ValueError("not one of our tokens")
    packed = base64.urlsafe_b64decode(token[1:] + "=" * (-(len(token) - 1) % 4))
    inflater = zlib.decompressobj()
    body = inflater.decompress(packed, _LARGEST_BODY)
    if not inflater.eof:
        raise ValueError("too large")
    return body


def _digest(identity: tuple[str, ...]) -> str:
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
