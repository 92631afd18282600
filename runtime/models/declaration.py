"""The `models` field (`multi_model_reloading` and `model_path` of old) as plain values; docs/reference/models.md."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

DEFAULT_NAME = "default"
_POLL_SECONDS = 10.0
_UNITS = {
    "": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_KEYS = {
    "path", "model_path", "paths", "dir", "signature_key", "cache_size", "disk_cache_size", "memory_budget",
    "disk_budget", "poll_interval",
}  # fmt: skip


class Invalid(Exception):
    """The field cannot mean anything; the text names the key and what was expected."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One model by name. `location` is a path in the project, an absolute path, or a URL (file, s3)."""

    name: str
    location: str
    signature_key: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Declaration:
    """Sizes in bytes, times in seconds; 0 where a limit is off. Either `entries` or `dir`, or nothing at all."""

    entries: tuple[Entry, ...] = ()
    dir: str = ""
    signature_key: str = ""
    cache_size: int = 0
    disk_cache_size: int = 0
    memory_budget: int = 0
    disk_budget: int = 0
    poll_interval: float = _POLL_SECONDS

    @property
    def is_lazy(self) -> bool:
        """Whether models are fetched when first asked for: there may be more of them than fit."""
        return bool(self.dir or self.disk_cache_size or self.disk_budget)

    def signature_of(self, name: str) -> str:
        own = next((entry.signature_key for entry in self.entries if entry.name == name), "")
        return own or self.signature_key


def read(models: Mapping[str, Any]) -> Declaration:
    """Raises Invalid."""
    unknown = sorted(set(models) - _KEYS)
    if unknown:
        raise Invalid(f"models: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    path = models.get("path") or models.get("model_path")
    given = [
        key for key, value in (("path", path), ("paths", models.get("paths")), ("dir", models.get("dir"))) if value
    ]
    if len(given) > 1:
        raise Invalid(f"models: exactly one of path, paths and dir may be set, found {' and '.join(given)}")
    made = Declaration(
        entries=(Entry(DEFAULT_NAME, str(path)),) if path else _entries(models.get("paths") or ()),
        dir=str(models.get("dir") or ""),
        signature_key=str(models.get("signature_key") or ""),
        cache_size=_count(models, "cache_size"),
        disk_cache_size=_count(models, "disk_cache_size"),
        memory_budget=_bytes(models, "memory_budget"),
        disk_budget=_bytes(models, "disk_budget"),
        poll_interval=_interval(models),
    )
    if made.disk_cache_size and made.cache_size > made.disk_cache_size:
        raise Invalid("models.disk_cache_size: at least models.cache_size, as what is in memory stays on disk")
    return made


def _entries(listed: Any) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for index, told in enumerate(listed):
        name = str(told.get("name") or "")
        location = str(told.get("path") or told.get("model_path") or "")
        if not name or not location:
            raise Invalid(f"models.paths[{index}]: `name` and `path` are required")
        if "/" in name or "\0" in name or name in (".", ".."):
            raise Invalid(f"models.paths[{index}].name: {name!r} cannot be the name of a folder")
        if name in found:
            raise Invalid(f"models.paths[{index}].name: {name!r} is there twice")
        found[name] = Entry(name, location, str(told.get("signature_key") or ""))
    return tuple(found.values())


def _count(models: Mapping[str, Any], key: str) -> int:
    value = models.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Invalid(f"models.{key}: expected a whole number above 0, found {value!r}")
    return value


def _bytes(models: Mapping[str, Any], key: str) -> int:
    value = models.get(key)
    if value is None:
        return 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(value))
    if match is None or match[2] not in _UNITS or isinstance(value, bool):
        raise Invalid(f"models.{key}: expected bytes such as 512Mi or 4Gi, found {value!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def _interval(models: Mapping[str, Any]) -> float:
    value = models.get("poll_interval")
    if value is None:
        return _POLL_SECONDS
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", str(value))
    if match is None:
        raise Invalid(f"models.poll_interval: expected a duration such as 10s, 0 to never look, found {value!r}")
    return float(match[1]) * _SECONDS[match[2] or "s"]
