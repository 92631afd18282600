"""Opaque page tokens that belong to one query: a token of another query is refused, not misread."""

import base64
import binascii
import hashlib
import json
from typing import Any

from services.chassis import errors


def seal(query: object, position: Any) -> str:
    """A token for going on after `position` (any JSON value) of `query` (anything with a stable repr)."""
    body = json.dumps([_digest(query), position], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def open_token(query: object, token: str) -> Any:
    """The position inside `token`, None for an empty one. Raises InvalidArgument."""
    if not token:
        return None
    try:
        digest, position = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, TypeError, binascii.Error):
        digest, position = "", None
    if digest != _digest(query):
        raise errors.InvalidArgument(
            "this page token does not belong to this query; start again without one", reason="INVALID_PAGE_TOKEN"
        )
    return position


def clamp(page_size: int, *, default: int = 100, most: int = 1000) -> int:
    """How many to return. Raises InvalidArgument for a negative size (AIP-158)."""
    if page_size < 0:
        violation = errors.Violation("page_size", "must not be negative")
        raise errors.InvalidArgument("page_size must not be negative", violations=[violation])
    return min(page_size or default, most)


def _digest(query: object) -> str:
    return hashlib.sha256(repr(query).encode()).hexdigest()[:16]
