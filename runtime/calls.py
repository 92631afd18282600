"""One prediction on its way through the front, from either door to a worker and back."""

import enum
from collections.abc import Sequence
from typing import Any, Protocol

from runtime import errors


class Stage(enum.Enum):
    """Where a call is."""

    NEW = 0
    QUEUED = 1
    RUNNING = 2
    DONE = 3


class Sink(Protocol):
    """The door a call came through; told what happens, at most one ending per call."""

    def on_response(self, status: int, fields: Sequence[bytes], body: bytes) -> None:
        """The whole answer. `fields`: content type, reason, prediction, then header names and values."""

    def on_stream_head(self, status: int, fields: Sequence[bytes]) -> None:
        """The answer begins."""

    def on_stream_chunk(self, data: bytes) -> None:
        """A part of it; the sink returns credit through `Call.grant`."""

    def on_stream_end(self, *, broken: bool) -> None:
        """It is over; `broken` when it lacks its end."""

    def on_failure(self, failure: errors.Failure) -> None:
        """No answer, or the rest of it, will come."""


class Call:
    """The state of one prediction. Mutable on purpose: one object per request and nothing copied on the way."""

    __slots__ = (
        "began", "body", "deadline", "dispatched", "fields", "link", "number", "opened", "queued_for", "request_id",
        "sink", "span", "stage", "status", "timer",
    )  # fmt: skip

    def __init__(
        self, *, fields: list[bytes], body: bytes, request_id: str, began: float, deadline: float, sink: Sink
    ) -> None:
        self.fields = fields  # of the request head, see shim/frames.py
        self.body = body
        self.request_id = request_id
        self.began = began  # loop time of the first byte
        self.deadline = deadline  # loop time, or 0 for none
        self.sink = sink
        self.stage = Stage.NEW
        self.link: Any = None  # the worker's
        self.number = 0
        self.dispatched = 0.0
        self.queued_for = 0.0
        self.opened = False  # a stream whose head is out
        self.status = 0
        self.timer: Any = None
        self.span: Any = None

    def grant(self, chunks: int) -> None:
        """The sink can take more chunks."""
        if self.stage is Stage.RUNNING:
            self.link.grant(self.number, chunks)
