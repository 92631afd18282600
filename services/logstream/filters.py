"""Which entries a caller wants to see. A loss passes every filter but time and place: it may hide a wanted line."""

from services.logstream import grep, model


class Filter:
    """Decides line by line; built once per tail."""

    def __init__(self, query: model.Query) -> None:
        self._since = query.since_ns
        self._rank = model.LEVELS[query.min_level] if query.min_level else 0
        self._trace = query.trace_id
        self._needle = query.trace_id.encode()
        self._pattern = grep.Pattern(query.grep) if query.grep else None

    @property
    def since_ns(self) -> int:
        return self._since

    def may_accept(self, raw: bytes) -> bool:
        """A cheap look at the bytes that spares most decoding when one trace is wanted."""
        return not self._needle or self._needle in raw or b'"dropped"' in raw

    def accepts(self, entry: model.Entry) -> bool:
        if entry.time_ns < self._since:
            return False
        if entry.loss:
            return True
        if self._rank and model.LEVELS[entry.level] < self._rank:
            return False
        if self._trace and entry.trace_id != self._trace:
            return False
        return self._pattern is None or self._pattern.found_in(entry.message)
