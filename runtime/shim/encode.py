"""From what a predictor returned to the bytes of an answer.

numpy, pandas, torch and pydantic values are recognised by what they can do, so none of them is imported.
"""

from __future__ import annotations

import collections
import collections.abc
import enum
import json
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import asgi

_HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
# The front frames the answer itself.
_HOP_BY_HOP = frozenset(["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"])

JSON = "application/json"


class Encoded:
    """An answer ready to send; `chunks` is set instead of `body` when the answer is a stream."""

    __slots__ = ("after", "body", "chunks", "content_type", "headers", "item", "prediction", "reason", "status")

    def __init__(self, status: int, content_type: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.status = status
        self.content_type = content_type
        self.body = body
        self.headers = headers
        self.chunks: Any = None
        self.item: Callable[[Any], bytes] | None = None  # how each of `chunks` becomes bytes, where that is special
        self.reason = ""  # an ErrorReason without its prefix, when the answer is a failure of ours to name
        self.prediction: str | None = None
        self.after: Sequence[Callable[[], Any]] = ()  # what runs once the answer is on its way

    def begin(self, status: int, pairs: list[tuple[str, str]]) -> None:
        """Takes status and headers of a response. Raises ValueError where a header is not valid."""
        kinds = [value for name, value in pairs if name.lower() == "content-type"]
        self.status, self.content_type = status, kinds[0] if kinds else self.content_type
        check_headers([("content-type", self.content_type)])
        self.headers = check_headers([(name, value) for name, value in pairs if name.lower() != "content-type"])


def encode(result: Any, request: Any = None) -> Encoded:
    """Raises TypeError or ValueError when `result` has no JSON form. Files that send themselves read the request."""
    if isinstance(result, (bytes, bytearray, memoryview)):
        return Encoded(200, "application/octet-stream", bytes(result))
    if isinstance(result, str):
        return Encoded(200, "text/plain; charset=utf-8", result.encode("utf-8", "replace"))
    if is_response(result):
        return _as_is(result, request)
    return Encoded(200, JSON, to_json(result))


def to_json(value: Any) -> bytes:
    try:
        text = _dumps(value)
    except (TypeError, ValueError):
        text = ""
    # Keys that are no strings (numpy integers) reach no hook of the encoder, nor does NaN inside an array.
    text = text or _encoder.encode(_plain_keys(value))
    return text.encode("utf-8", "backslashreplace")  # half a surrogate pair, which JSON can name and UTF-8 cannot


def _default(value: Any) -> Any:
    """One step towards JSON, for the types the standard encoder does not know."""
    if hasattr(value, "tolist"):  # numpy arrays and scalars, torch tensors, pandas series
        return value.tolist()
    if hasattr(type(value), "__dataclass_fields__"):
        import dataclasses

        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if _is_a("datetime", "date", value) or _is_a("datetime", "time", value):  # a datetime is a date, too
        return value.isoformat()
    if _is_a("datetime", "timedelta", value):
        return value.total_seconds()
    if _is_a("decimal", "Decimal", value):
        return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, os.PathLike) or _is_a("uuid", "UUID", value):
        return str(value)
    if isinstance(value, (set, frozenset, collections.deque, range, map, filter, zip)):
        return list(value)
    return _by_method(value)


def _is_a(module: str, name: str, value: Any) -> bool:
    """Whoever has a value of the type has imported its module, so no start of a worker waits for that."""
    return isinstance(value, getattr(sys.modules.get(module), name, ()))


def _by_method(value: Any) -> Any:
    for name, arguments in (
        ("model_dump", {}),
        ("numpy", {}),
        ("to_dict", _records(value)),
        ("_asdict", {}),
        ("dict", {}),
    ):
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type):
            return method(**arguments)
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def _records(value: Any) -> Any:
    return {"orient": "records"} if hasattr(value, "columns") else {}


def _plain_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _plain_keys(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_keys(item) for item in value]
    return value


def _key(key: Any) -> Any:
    if key is None or isinstance(key, (str, int, float, bool)):
        return key
    plain = _default(key)
    return plain if isinstance(plain, (str, int, float, bool)) else str(plain)


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default)


def _make_dumps() -> Callable[[Any], str]:
    """The standard library builds its C encoder anew for each value; here it is built once. Without the check for
    circular values, which needs state per call, such a value ends in a RecursionError."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _encoder.encode
    quote = json.encoder.encode_basestring
    pieces = make(None, _default, quote, None, ":", ",", False, False, False)
    return lambda value: "".join(pieces(value, 0))


_dumps = _make_dumps()


def is_response(value: Any) -> bool:
    """Whether it is a response object of a web framework, such as Starlette's."""
    if not isinstance(getattr(value, "status_code", None), int):
        return False
    names = ("body", "content", "body_iterator", "get_data")
    return any(hasattr(value, name) for name in names) or asgi.sends_itself(value)


def _as_is(response: Any, request: Any) -> Encoded:
    answer = Encoded(response.status_code, "", b"")
    background = getattr(response, "background", None)
    if callable(background):
        answer.after = [background]
    if asgi.sends_itself(response):
        if background is not None:
            response.background = None  # else it would keep the answer from its end
        answer.content_type = "application/octet-stream"
        answer.chunks = asgi.chunks(response, request, answer)
        return answer
    answer.content_type = getattr(response, "media_type", None) or ""
    answer.begin(response.status_code, _header_pairs(response))
    answer.chunks = getattr(response, "body_iterator", None)
    if answer.chunks is None:
        answer.body = _body(response)
    return answer


def _body(response: Any) -> bytes:
    if hasattr(response, "get_data"):
        return bytes(response.get_data())
    content = response.body if hasattr(response, "body") else response.content
    if content is None:
        return b""
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    return content.encode("utf-8") if isinstance(content, str) else to_json(content)


def _header_pairs(response: Any) -> list[tuple[str, str]]:
    raw = getattr(response, "raw_headers", None)
    if raw is not None:
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
    headers: Any = getattr(response, "headers", None)
    items = headers.items() if hasattr(headers, "items") else headers
    return [(str(name), str(value)) for name, value in items or ()]


def check_headers(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without those the front sets; raises ValueError where a header could break out of its line."""
    for name, value in pairs:
        if not _HEADER_NAME.match(name) or any(sign in value for sign in "\r\n\0"):
            raise ValueError(f"the response header {name!r} is not valid")
    return [(name, value) for name, value in pairs if name.lower() not in _HOP_BY_HOP]


def prediction(result: Any, kind: str, key: str) -> str | None:
    """What monitoring counts: `c<class>`, `n<number>`, `?` when it cannot be read, None when nothing is tracked."""
    if not kind:
        return None
    try:
        value = result[key] if key else result
        if hasattr(value, "tolist"):
            value = value.tolist()
        while isinstance(value, (list, tuple)) and len(value) == 1:
            value = value[0]
        return _class(value) if kind == "classification" else _number(value)
    except Exception:
        return "?"


def _class(value: Any) -> str:
    if isinstance(value, (str, int)):
        return "c" + str(value)[:256].replace("\0", "")
    raise TypeError


def _number(value: Any) -> str:
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise TypeError
    return "n" + repr(float(value))
