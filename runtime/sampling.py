"""Whether a request is traced, by OTEL_TRACES_SAMPLER and its argument, decided once and before anything is made."""

import random
from collections.abc import Mapping

_LOW_BITS = 1 << 64
# Ids must differ, not be hard to guess; this costs a tenth of asking the system each time.
draw = random.Random().getrandbits


def root(name: str, argument: str) -> int | None:
    """The samplers of the SDK decide by the low half of the trace id: below this number it is sampled. None for one
    that we do not know."""
    if name == "always_on":
        return _LOW_BITS
    if name == "always_off":
        return 0
    if name != "traceidratio":
        return None
    try:
        return round(min(1.0, max(0.0, float(argument or "1"))) * _LOW_BITS)
    except ValueError:
        return None


class Sampler:
    """`decide` gives the trace id of a request that is to be traced, else nothing."""

    def __init__(self, bound: int, follows_parent: bool) -> None:
        self._bound = bound
        self._follows_parent = follows_parent

    def decide(self, traceparent: bytes) -> bytes | None:
        """`traceparent` is valid or empty."""
        if not traceparent:
            low = draw(64)
            return (draw(64) << 64 | low or 1).to_bytes(16, "big") if low < self._bound else None
        if self._follows_parent:
            sampled = bool(int(traceparent[53:55], 16) & 1)
        else:
            sampled = int(traceparent[19:35], 16) < self._bound
        return bytes.fromhex(traceparent[3:35].decode()) if sampled else None


def of(environ: Mapping[str, str]) -> Sampler | None:
    """None where the SDK has to decide."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_on"
    kind = name.removeprefix("parentbased_")
    bound = root(kind, environ.get("OTEL_TRACES_SAMPLER_ARG", ""))
    return Sampler(bound, kind != name) if bound is not None else None
