"""Counters of a model in the form of Triton's statistics extension."""

import time
from typing import Any


class Statistics:
    """Of one version of one model, since the replica began. Nanoseconds are the form's unit."""

    def __init__(self, name: str, version: str) -> None:
        self._name = name
        self._version = version
        self._last = 0
        self._success = [0, 0]
        self._failed = [0, 0]
        self._queued = [0, 0]
        self._computed = [0, 0]

    def ended(self, seconds: float, queued: float, *, ok: bool) -> None:
        """A request is over, `queued` of its `seconds` before a worker had it."""
        kept = self._success if ok else self._failed
        nanos = int(seconds * 1e9)
        kept[0] += 1
        kept[1] += nanos
        if ok:
            waited = int(queued * 1e9)
            self._last = time.time_ns() // 1_000_000
            for counter, spent in ((self._queued, waited), (self._computed, nanos - waited)):
                counter[0] += 1
                counter[1] += spent

    def entry(self) -> dict[str, Any]:
        none = {"count": 0, "ns": 0}
        return {
            "name": self._name,
            "version": self._version,
            "last_inference": self._last,
            "inference_count": self._success[0],
            "execution_count": self._success[0],
            "inference_stats": {
                "success": _duration(self._success),
                "fail": _duration(self._failed),
                "queue": _duration(self._queued),
                "compute_input": none,
                "compute_infer": _duration(self._computed),
                "compute_output": none,
                "cache_hit": none,
                "cache_miss": none,
            },
            "batch_stats": [],
        }


def _duration(counter: list[int]) -> dict[str, int]:
    return {"count": counter[0], "ns": counter[1]}
