"""Answers what workers ask about models (`asker.ask("model", {"do": ...})`), and keeps what each has on loan."""

from typing import Any

from runtime.asks import Asks, Refused
from runtime.models.catalog import LATEST, ModelError
from runtime.models.repository import Repository, Resolved

_LONGEST_REASON = 2000
Answer = tuple[dict[str, Any], bytes]


class Desk:
    """A worker is known by its slot and pid; a new pid in a slot ends the loans of the one before."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._loans: dict[str, tuple[int, dict[str, Resolved]]] = {}
        self._doings = {
            "limits": self._limits,
            "find": self._find,
            "open": self._open,
            "loaded": self._loaded,
            "failed": self._failed,
            "close": self._close,
            "watch": self._watch,
        }

    def register(self, asks: Asks) -> None:
        asks.register("model", self.answer)

    async def answer(self, meta: dict[str, Any], body: bytes) -> Answer:
        doing = self._doings.get(str(meta.get("do")))
        if doing is None:
            raise Refused(f"nobody knows how to do {meta.get('do')!r} with a model")
        try:
            return await doing(meta), b""
        except ModelError as error:
            raise Refused(str(error), str(error.status)) from None

    async def _limits(self, meta: dict[str, Any]) -> dict[str, Any]:
        declared = self._repository.declared
        return {"cache_size": declared.cache_size, "memory_budget": declared.memory_budget}

    async def _find(self, meta: dict[str, Any]) -> dict[str, Any]:
        return _told(self._repository.find(meta.get("name"), str(meta.get("version") or LATEST)))

    async def _open(self, meta: dict[str, Any]) -> dict[str, Any]:
        resolved = await self._repository.resolve(meta.get("name"), str(meta.get("version") or LATEST))
        loans = self._of(meta)
        if resolved.generation in loans:
            self._repository.release(resolved)
        else:
            loans[resolved.generation] = resolved
        return _told(resolved)

    async def _loaded(self, meta: dict[str, Any]) -> dict[str, Any]:
        resolved = self._of(meta).get(str(meta.get("generation")))
        if resolved is not None:
            self._repository.loaded(resolved)
        return {}

    async def _failed(self, meta: dict[str, Any]) -> dict[str, Any]:
        resolved = self._of(meta).get(str(meta.get("generation")))
        if resolved is not None:
            self._repository.failed(resolved, str(meta.get("reason"))[:_LONGEST_REASON])
        return await self._close(meta)

    async def _close(self, meta: dict[str, Any]) -> dict[str, Any]:
        resolved = self._of(meta).pop(str(meta.get("generation")), None)
        if resolved is not None:
            self._repository.release(resolved)
        return {}

    async def _watch(self, meta: dict[str, Any]) -> dict[str, Any]:
        seen = await self._repository.changed(int(meta.get("seen") or 0))
        return {"seen": seen, "wanted": self._repository.shelf.wanted}

    def _of(self, meta: dict[str, Any]) -> dict[str, Resolved]:
        slot, pid = str(meta.get("worker")), int(meta.get("pid") or 0)
        known = self._loans.get(slot)
        if known is None or known[0] != pid:
            for resolved in known[1].values() if known else ():
                self._repository.release(resolved)
            known = self._loans[slot] = (pid, {})
        return known[1]


def _told(resolved: Resolved) -> dict[str, Any]:
    return {
        "name": resolved.name,
        "version": resolved.version,
        "path": resolved.path,
        "generation": resolved.generation,
        "bytes": resolved.bytes,
    }
