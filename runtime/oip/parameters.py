"""Parameters of requests: which of them we read, which belong to servers alone, and the deadline they ask for."""

from collections.abc import Mapping
from typing import Any

from runtime.calls import DEFAULT_PRIORITY, LAST_PRIORITY
from runtime.inference import InferError, Parameters

_RESERVED = "triton_"
_MICROSECOND = 1e-6
_LONGEST = 1e18
_MOST = 1024


def checked(told: Mapping[str, Any] | None) -> Parameters:
    """Raises InferError for values that are none of the protocol's kinds, and for names that callers may not use."""
    if not told:
        return {}
    if len(told) > _MOST:
        raise InferError(400, f"the request has {len(told)} parameters; {_MOST} are the most")
    for name, value in told.items():
        if not isinstance(value, (bool, int, float, str)):
            raise InferError(400, f"parameter {name[:80]!r} must be a boolean, a number or a string")
        if name.startswith(_RESERVED):
            raise InferError(400, f"parameter {name[:80]!r} is reserved: names that begin with {_RESERVED} are")
    return told


def check_output(name: str, told: Mapping[str, Any]) -> None:
    """Raises InferError: other values than those asked for would be taken for them."""
    if told.get("classification"):
        text = f"output {name[:80]!r}: the classification extension is not here; ask without it"
        raise InferError(400, f"{text} (tritonclient: class_count) and pick the largest values yourself")


def deadline(told: Parameters, began: float, others: float) -> float:
    """The earlier of `others` (0 for none) and what the parameter `timeout`, in microseconds, asks for."""
    timeout = told.get("timeout")
    if timeout is None:
        return others
    # The upper bound holds for NaN, too, and for integers that no float can be.
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 <= timeout < _LONGEST:
        raise InferError(400, "parameter 'timeout' must be a number of microseconds")
    if timeout == 0:
        return others
    asked = began + timeout * _MICROSECOND
    return min(asked, others) if others else asked


def priority(told: Parameters) -> int:
    """1 is served first, 9 last; 0, as in Triton, means the usual."""
    value = told.get("priority", 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LAST_PRIORITY:
        raise InferError(400, f"parameter 'priority' must be a whole number from 0 to {LAST_PRIORITY}")
    return value or DEFAULT_PRIORITY
