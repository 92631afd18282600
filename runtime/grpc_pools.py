"""Several descriptor pools as one, for reflection: some services keep their messages in a pool of their own."""

from collections.abc import Callable
from typing import Any


class Pools:
    """Asks each pool in turn. A name that two pools know is the first one's."""

    def __init__(self, first: Any) -> None:
        self._pools = [first]

    def add(self, pool: Any) -> None:
        if pool not in self._pools:
            self._pools.append(pool)

    def FindFileByName(self, name: str) -> Any:
        return self._first(lambda pool: pool.FindFileByName(name))

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        return self._first(lambda pool: pool.FindFileContainingSymbol(symbol))

    def FindMessageTypeByName(self, name: str) -> Any:
        return self._first(lambda pool: pool.FindMessageTypeByName(name))

    def FindExtensionByNumber(self, message: Any, number: int) -> Any:
        return message.file.pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Any) -> Any:
        return message.file.pool.FindAllExtensions(message)

    def _first(self, find: Callable[[Any], Any]) -> Any:
        """Raises KeyError, as a pool does."""
        for pool in self._pools[:-1]:
            try:
                return find(pool)
            except KeyError:
                continue
        return find(self._pools[-1])
