"""One prediction on its way through the front, from either door to a worker and back."""

import enum
from collections.abc import Sequence
from typing import Any

from runtime import errors, slabs


class Stage(enum.Enum):
    """Where a call is."""

    NEW = 0
    QUEUED = 1
    RUNNING = 2
    DONE = 3


# Named again, as to look up a member of an enumeration costs as much as the rest of a step.
NEW, QUEUED, RUNNING, DONE = Stage
DEFAULT_PRIORITY = 5
LAST_PRIORITY = 9


class Call:
    """One object per request and nothing copied on the way, hence mutable.

    A door's own kind of call says how the answer reaches the caller. It is told what happens, at most one ending each,
    and must take it even when the caller has left.
    """

    __slots__ = (
        "attempt", "began", "body", "deadline", "fields", "link", "number", "priority", "queued_for", "signature",
        "span", "stage", "status", "timer",
    )  # fmt: skip

    def __init__(self, began: float) -> None:
        self.attempt = 0  # of the gateway, which repeats what a dying worker held; 0: the call did not come through it
        self.began = began  # monotonic time of the first byte
        self.fields: list[bytes] = []  # of the request head, see shim/frames.py
        self.body: bytes | slabs.Loan = b""
        self.deadline = 0.0  # monotonic time, or 0 for none
        self.priority = DEFAULT_PRIORITY  # 1 is served first, 9 last
        self.signature: Any = None  # of tensors: only equal ones share a batch
        self.stage = NEW
        self.link: Any = None  # the worker's
        self.number = 0
        self.queued_for = 0.0
        self.status = 0
        self.timer: Any = None
        self.span: Any = None

    @property
    def request_id(self) -> str:
        return self.fields[4].decode("utf-8", "replace")

    def grant(self, chunks: int) -> None:
        """The caller can take more chunks."""
        if self.stage is RUNNING:
            self.link.grant(self.number, chunks)

    def on_response(self, status: int, fields: Sequence[bytes], body: bytes) -> None:
        """The whole answer. `fields`: content type, reason, prediction, then header names and values."""
        raise NotImplementedError

    def on_stream_head(self, status: int, fields: Sequence[bytes]) -> None:
        """The answer begins."""
        raise NotImplementedError

    def on_stream_chunk(self, data: bytes) -> None:
        """A part of it; the door returns credit through `grant`."""
        raise NotImplementedError

    def on_stream_end(self, *, broken: bool) -> None:
        """It is over; `broken` when it lacks its end."""
        raise NotImplementedError

    def on_failure(self, failure: errors.Failure) -> None:
        """No answer, or the rest of it, will come."""
        raise NotImplementedError
