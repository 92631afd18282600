"""From the bytes of a request to the values a predictor is called with."""

from __future__ import annotations

import json
import os
from typing import Any

from . import frames, tensors
from .mappings import Headers, QueryParams, parameter

_scan: Any = vars(json.JSONDecoder())["scan_once"]


class Malformed(Exception):
    """The body does not parse as its content type; the text is for the caller."""


class Request:
    """One request as it came over the data socket. Everything is decoded when first asked for."""

    __slots__ = ("_fields", "_traceparent", "body", "content_type", "context", "held", "method", "number", "partial")

    def __init__(self, number: int, head: bytes, body: bytes) -> None:
        # The last one is all headers in one piece.
        self._fields = fields = head.decode("latin-1").split("\0", 6)
        self.number = number
        self.method = fields[0]
        self.content_type = fields[3]
        self.body = body
        self.partial: str | None = None  # a line the user's code has begun to print
        self.held: Any = None  # models this request uses (model_memory.Pins)
        self._traceparent = ""
        self.context: Any = None  # of an RPC of the user's own service

    @property
    def path(self) -> str:
        return self._fields[1]

    @property
    def query_params(self) -> QueryParams:
        return QueryParams(self._fields[2])

    @property
    def request_id(self) -> str:
        return self._fields[4]

    @property
    def traceparent(self) -> str:
        """The caller's, or one of its own, unsampled, so that the request's log lines have an id to be found by."""
        if not self._traceparent:
            drawn = os.urandom(24).hex()
            self._traceparent = self._fields[5] or f"00-{drawn[:32]}-{drawn[32:]}-00"
        return self._traceparent

    @property
    def headers(self) -> Headers:
        return Headers([pair for pair in self.pairs() if pair[0] != frames.DEADLINE_FIELD])

    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, on the clock of time.monotonic(); None when it never does."""
        told = next((value for name, value in self.pairs() if name == frames.DEADLINE_FIELD), "")
        return float(told) if told else None

    @property
    def accepts(self) -> str:
        """How a stream is to be framed, where the caller cares: `events`, `lines`, or empty."""
        told = ",".join([value for name, value in self.pairs() if name == "accept"])
        if "text/event-stream" in told:
            return "events"
        return "lines" if "application/x-ndjson" in told else ""

    @property
    def has_tensors(self) -> bool:
        """Whether it came by the Open Inference Protocol, so that the answer is tensors too."""
        return self.content_type.startswith(tensors.TYPE)

    def asked(self) -> tensors.Tensors:
        """Which outputs are wanted, and the rest of what is said beside the tensors."""
        return tensors.Tensors(json.loads(self.body[: tensors.head_size(self.content_type)]))

    def model(self) -> tuple[str, str]:
        """Name and version in the path /v2/models/<name>/versions/<version>/infer."""
        parts = self.path.split("/")
        return parts[3], parts[5]

    @property
    def query(self) -> str:
        return self._fields[2]

    def pairs(self) -> list[tuple[str, str]]:
        if len(self._fields) < 7:
            return []
        rest = self._fields[6].split("\0")
        return list(zip(rest[::2], rest[1::2]))

    def payload(self) -> Any:
        """The body by its content type; raises Malformed."""
        kind = self.content_type
        try:
            if kind.startswith("application/json"):
                return _parse_json(self.body)
            lowered = kind.lower()
            if lowered.startswith("application/json"):
                return _parse_json(self.body)
            if lowered.startswith(tensors.TYPE):
                return tensors.decode(self.body, tensors.head_size(kind))
            if lowered.startswith("text/plain"):
                return self.body.decode(parameter(kind, "charset") or "utf-8")
            if lowered.startswith(("multipart/form", "application/x-www-form-urlencoded")):
                return _parse_form(kind, lowered, self.body)
        except tensors.Unfit as error:
            raise Malformed(str(error)) from None
        except (ValueError, LookupError, RecursionError) as error:
            shown = kind.split(";")[0]
            raise Malformed(f"the request body is not valid {shown}: {_short(error)}") from None
        return self.body


def _parse_json(body: bytes) -> Any:
    """json.loads without its detours where the text is UTF-8 without space around it, as nearly all is."""
    try:
        text = body.decode("utf-8")
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, UnicodeDecodeError):
        pass  # space in front, another encoding, or no JSON at all: json.loads tells them apart
    return json.loads(body)


def _parse_form(kind: str, lowered: str, body: bytes) -> Any:
    from . import forms  # here, as most predictors never get one

    if lowered.startswith("multipart/form"):
        return forms.parse_multipart(body, parameter(kind, "boundary"))
    return forms.parse_urlencoded(body, parameter(kind, "charset") or "utf-8")


def _short(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:300]
