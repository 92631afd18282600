"""JSON as the protocol needs it: bounded in size and depth before it is parsed, and no NaN or Infinity."""

import itertools
import re
from typing import Any, TypeVar

import msgspec

from runtime.inference import InferError

MAX_DEPTH = 64
# Parsing holds the event loop; data beyond this belongs into binary tensors.
MAX_BYTES = 16 * 1024 * 1024
_T = TypeVar("_T")

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_IRRELEVANT = bytes(set(range(256)) - set(b'[]{}"'))
_CLOSING = b"]}"
_PIECE = 64 * 1024


def decode(decoder: "msgspec.json.Decoder[_T]", data: "bytes | memoryview") -> _T:
    """Raises InferError 400 for what is no JSON, too deep, or not of the decoder's type."""
    text = check(bytes(data))
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise InferError(400, f"the request is not as the protocol wants it: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InferError(400, f"the request is not valid JSON: {error}", "PAYLOAD_MALFORMED") from None


def check(text: bytes) -> bytes:
    """`text` itself when its size and depth are allowed; raises InferError."""
    if len(text) > MAX_BYTES:
        told = f"the JSON is larger than {MAX_BYTES} bytes; send large tensors as binary data"
        raise InferError(413, told, "PAYLOAD_TOO_LARGE")
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deeper(text):
        raise InferError(400, f"the JSON is nested deeper than {MAX_DEPTH} levels", "PAYLOAD_MALFORMED")
    return text


def _is_deeper(text: bytes) -> bool:
    """Whether brackets outside of strings nest too deep. Linear, and no recursion to overflow."""
    if b"\\" in text:
        text = _ESCAPE.sub(b"", text)
    brackets = _STRING.sub(b"", text.translate(None, _IRRELEVANT))
    depth = 0
    for at in range(0, len(brackets), _PIECE):
        steps = [-1 if sign in _CLOSING else 1 for sign in brackets[at : at + _PIECE]]
        depths = list(itertools.accumulate(steps, initial=depth))
        if max(depths) > MAX_DEPTH:
            return True
        depth = depths[-1]
    return False


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)
