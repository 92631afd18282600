"""The `context` of an RPC: the part of grpc.ServicerContext that a predictor has a use for."""

from __future__ import annotations

import base64
import time
from collections import namedtuple
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from . import frames, payload

DEADLINE = frames.DEADLINE_FIELD  # from the front, in seconds of the machine's monotonic clock
Metadatum = namedtuple("Metadatum", ("key", "value"))
# HTTP statuses by gRPC code, for logs, metrics and rollouts.
_HTTP = {
    0: 200, 1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 412, 10: 409, 11: 400, 12: 501, 13: 500,
    14: 503, 15: 500, 16: 401,
}  # fmt: skip


class Aborted(Exception):
    """Ends the RPC with the status that its context holds."""


class Context:
    """One per call."""

    def __init__(self, request: payload.Request, is_active: Callable[[int], bool]) -> None:
        self.aborted = False
        self._number = request.number
        self._is_active = is_active
        self._metadata: list[Metadatum] = []
        self._deadline: float | None = None
        self._code = 0
        self._details = ""
        self._initial: list[tuple[str, str]] = []
        self._trailing: list[tuple[str, Any]] = []
        for name, value in request.pairs():
            if name == DEADLINE:
                self._deadline = float(value)
            else:
                self._metadata.append(Metadatum(name, base64.b64decode(value) if name.endswith("-bin") else value))

    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        return tuple(self._metadata)

    def time_remaining(self) -> float | None:
        """Seconds to the deadline; None when there is none."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def is_active(self) -> bool:
        """Whether the caller still waits."""
        return self._is_active(self._number)

    def peer(self) -> str:
        """Where the caller is, as far as the gateway says."""
        told = [value for name, value in self._metadata if name == "x-forwarded-for"]
        return told[0] if told else "unknown"

    def set_code(self, code: Any) -> None:
        self._code = _number(code)

    def set_details(self, details: str) -> None:
        self._details = str(details)

    def code(self) -> int:
        return self._code

    def details(self) -> str:
        return self._details

    def abort(self, code: Any, details: str = "", trailing_metadata: Iterable[tuple[str, Any]] = ()) -> NoReturn:
        """Ends the call; raises."""
        if _number(code) == 0:
            raise ValueError("abort() needs a code other than OK")
        self._code, self._details = _number(code), str(details)
        self._trailing += list(trailing_metadata)
        self.aborted = True
        raise Aborted(f"{code}: {details}")

    def abort_with_status(self, status: Any) -> NoReturn:
        """For what grpc_status.rpc_status.to_status() makes."""
        self.abort(status.code, status.details, status.trailing_metadata or ())

    def send_initial_metadata(self, metadata: Iterable[tuple[str, Any]]) -> None:
        """Leaves with the first message, or with the answer."""
        self._initial += [(f"initial-{name}", _text(name, value)) for name, value in metadata]

    def set_trailing_metadata(self, metadata: Iterable[tuple[str, Any]]) -> None:
        self._trailing = list(metadata)

    def trailing_metadata(self) -> tuple[tuple[str, Any], ...]:
        return tuple(self._trailing)

    @property
    def failed(self) -> bool:
        return self._code != 0

    @property
    def http_status(self) -> int:
        return _HTTP[self._code]

    def initial(self) -> list[tuple[str, str]]:
        """For the front."""
        return self._initial

    def trailers(self) -> list[tuple[str, str]]:
        """For the front."""
        told = [(f"trailing-{name}", _text(name, value)) for name, value in self._trailing]
        if self._code:
            told += [("grpc-status", str(self._code)), ("grpc-message", self._details.replace("\0", ""))]
        return told


def _number(code: Any) -> int:
    """grpc.StatusCode holds a number and a name; a number will do."""
    value = getattr(code, "value", code)
    number = value[0] if isinstance(value, tuple) else value
    if not isinstance(number, int) or number not in _HTTP:
        raise ValueError(f"{code!r} is no gRPC status code")
    return number


def _text(name: str, value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        if not name.endswith("-bin"):
            raise ValueError(f"the value of metadata {name!r} is bytes, so its name must end in -bin")
        return base64.b64encode(bytes(value)).decode()
    return str(value).replace("\0", "")
