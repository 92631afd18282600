"""Failures in the shape that OpenAI's clients read."""

import json
from collections.abc import Sequence
from typing import Any

from runtime import errors

Headers = Sequence[tuple[bytes, bytes]]


class Problem(Exception):
    """An answer that is no result. `param` names the field of the request that is wrong."""

    def __init__(
        self, status: int, text: str, *, param: str | None = None, code: str | None = None, headers: Headers = ()
    ) -> None:
        super().__init__(text)
        self.status = status
        self.param = param
        self.code = code
        self.headers = headers

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it can be raised in one process and caught in another (scribe.py)."""
        return _again, (self.status, str(self), self.param, self.code, self.headers)

    def error(self) -> dict[str, Any]:
        """The value of `error`."""
        return {"message": str(self), "type": _type(self.status), "param": self.param, "code": self.code}

    def body(self, request_id: str) -> bytes:
        return json.dumps({"error": self.error(), "request_id": request_id}).encode()


def _again(status: int, text: str, param: str | None, code: str | None, headers: Headers) -> Problem:
    return Problem(status, text, param=param, code=code, headers=headers)


class Broken(Exception):
    """The predictor answered with what no route can send; the text is for the log, not for the caller."""


def of_failure(failure: errors.Failure) -> Problem:
    """What the front itself says."""
    headers = [(name.encode(), value.encode()) for name, value in failure.headers]
    if failure.retry_after:
        headers.append((b"retry-after", b"%d" % failure.retry_after))
    return Problem(failure.status, failure.text, code=failure.reason.lower(), headers=headers)


def of_answer(status: int, reason: str, body: bytes, headers: Headers) -> Problem:
    """What a worker said: a failure of the predictor, or an error that the user's code chose."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    detail = told.get("detail", told.get("error")) if isinstance(told, dict) else None
    if isinstance(detail, dict) and "message" in detail:
        param, code = detail.get("param"), detail.get("code")
        return Problem(status, str(detail["message"]), param=param, code=code, headers=headers)
    text = detail if isinstance(detail, str) else json.dumps(detail) if detail is not None else ""
    return Problem(status, text or body[:1000].decode("utf-8", "replace"), code=reason.lower() or None, headers=headers)


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
