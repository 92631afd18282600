"""A history store in memory that can be told to fail. It passes the suite of the real one."""

from collections.abc import Sequence

from services.chassis import errors
from services.monitor import model


class MemoryHistory:
    """Raises `failing`, when set, from every call."""

    def __init__(self) -> None:
        self.failing: errors.CortexError | None = None
        self._kept: dict[tuple[str, str, int, int], model.Tally] = {}

    async def save(self, buckets: Sequence[model.Bucket]) -> None:
        self._check()
        for one in buckets:
            # A copy: the caller goes on counting in its own.
            self._kept[one.api, one.revision, one.resolution, one.start] = model.add_up([one.tally])

    async def load(self, spans: Sequence[model.Span], apis: Sequence[str] | None) -> Sequence[model.Bucket]:
        self._check()
        return [
            model.Bucket(api, revision, resolution, start, model.add_up([tally]))
            for span in spans
            for (api, revision, resolution, start), tally in self._kept.items()
            if resolution == span.resolution and span.begin <= start < span.end and (apis is None or api in apis)
        ]

    async def apis(self, since: int) -> Sequence[str]:
        self._check()
        hours = [key for key in self._kept if key[2] == model.HOUR and key[3] >= since - model.HOUR]
        return sorted({api for api, _, _, _ in hours})

    async def prune(self, before: int) -> int:
        self._check()
        old = [key for key in self._kept if key[3] < before]
        for key in old:
            del self._kept[key]
        return len(old)

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing
