"""What a gRPC call's metadata asks for, at whichever service it comes in: the same that headers ask for over HTTP."""

from collections.abc import Mapping

from runtime import errors, http_heads
from runtime.calls import DEFAULT_PRIORITY

_TIMEOUT, _PRIORITY = "x-request-timeout-ms", "x-request-priority"


def timeout(told: Mapping[str, str], remaining: float | None, otherwise: float | None = None) -> float | None:
    """Seconds that the call has, by what is `told`, or else `otherwise`, and never more than the protocol leaves
    it; None for no limit. Raises InferError."""
    asked = otherwise
    if _TIMEOUT in told:
        asked = http_heads.seconds(told[_TIMEOUT].encode())
        if asked is None:
            raise errors.InferError.of(errors.BAD_TIMEOUT)
    return min((limit for limit in (asked, remaining) if limit is not None), default=None)


def priority(told: Mapping[str, str], otherwise: int = DEFAULT_PRIORITY) -> int:
    """1 is served first, 9 last. Raises InferError."""
    if _PRIORITY not in told:
        return otherwise
    found = http_heads.priority(told[_PRIORITY].encode())
    if not found:
        raise errors.InferError.of(errors.BAD_PRIORITY)
    return found
