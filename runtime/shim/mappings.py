"""The dict-likes a predictor receives: query parameters, form fields and headers.

urllib is imported with the first query: most requests have none, and a start does not wait for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Mapping

_PARAMETER = r"(?:^|;)\s*%s\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;]*))"


def parameter(value: str, name: str) -> str:
    """A parameter of a header such as `text/plain; charset=utf-8`; empty when it is absent."""
    found = re.search(_PARAMETER % re.escape(name), value, re.IGNORECASE)
    if found is None:
        return ""
    quoted, bare = found.groups()
    return bare.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted)


class MultiDict(Mapping[str, Any]):
    """A read-only mapping whose keys may have several values: `[key]` is the last, `getlist` are all."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        self._pairs = list(pairs)
        self._last: dict[str, Any] = dict(self._pairs)

    def __getitem__(self, key: str) -> Any:
        return self._last[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def getlist(self, key: str) -> list[Any]:
        return [value for name, value in self._pairs if name == key]

    def multi_items(self) -> list[tuple[str, Any]]:
        return list(self._pairs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MultiDict):
            return sorted(self._pairs) == sorted(other._pairs)
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"


def _pairs(query: str) -> list[tuple[str, str]]:
    import urllib.parse

    return urllib.parse.parse_qsl(query, keep_blank_values=True)


class QueryParams(MultiDict):
    """The query string, decoded."""

    def __init__(self, query: str) -> None:
        super().__init__(_pairs(query) if query else [])

    def __str__(self) -> str:
        import urllib.parse

        return urllib.parse.urlencode(self._pairs)


class Headers(MultiDict):
    """Request headers; names compare without case. Several lines of one name join with a comma in `[name]`."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        super().__init__([(name.lower(), value) for name, value in pairs])
        if len(self._last) != len(self._pairs):
            for name in self._last:
                self._last[name] = ", ".join(super().getlist(name))

    def __getitem__(self, key: str) -> str:
        return str(self._last[key.lower()])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._last

    def getlist(self, key: str) -> list[Any]:
        return super().getlist(key.lower())

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._pairs]
