"""Whether a request is traced, by OTEL_TRACES_SAMPLER and its argument, decided once and before anything is made."""

import random
from collections.abc import Callable, Mapping

_LOW_BITS = 1 << 64
# Ids must differ, not be hard to guess; this costs a tenth of asking the system each time.
draw = random.Random().getrandbits


def root(name: str, argument: str) -> Callable[[int], bool] | None:
    """By the trace id, as the SDK's samplers decide; None for one that we do not know."""
    if name == "always_on":
        return lambda trace_id: True
    if name == "always_off":
        return lambda trace_id: False
    if name != "traceidratio":
        return None
    try:
        bound = round(min(1.0, max(0.0, float(argument or "1"))) * _LOW_BITS)
    except ValueError:
        return None
    return lambda trace_id: trace_id & (_LOW_BITS - 1) < bound


class Sampler:
    """`decide` gives the trace id of a request that is to be traced, else nothing."""

    def __init__(self, by_id: Callable[[int], bool], follows_parent: bool) -> None:
        self._by_id = by_id
        self._follows_parent = follows_parent

    def decide(self, traceparent: bytes) -> bytes | None:
        """`traceparent` is valid or empty."""
        if not traceparent:
            drawn = draw(128) or 1
            return drawn.to_bytes(16, "big") if self._by_id(drawn) else None
        if self._follows_parent:
            sampled = bool(int(traceparent[53:55], 16) & 1)
        else:
            sampled = self._by_id(int(traceparent[3:35], 16))
        return bytes.fromhex(traceparent[3:35].decode()) if sampled else None


def of(environ: Mapping[str, str]) -> Sampler | None:
    """None where the SDK has to decide."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_on"
    kind = name.removeprefix("parentbased_")
    by_id = root(kind, environ.get("OTEL_TRACES_SAMPLER_ARG", ""))
    return Sampler(by_id, kind != name) if by_id is not None else None
