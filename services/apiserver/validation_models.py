"""Bounds of `models`, in the ancestor's rules and ours. A struct on the wire, so its shape is looked at too."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from services.apiserver import bounds
from services.apiserver import spec as specs
from services.apiserver.errors import Violation

_HERE = "predictor.models"
_KNOWN = {
    "path", "model_path", "paths", "dir", "signature_key", "cache_size", "disk_cache_size", "memory_budget",
    "disk_budget", "poll_interval",
}  # fmt: skip
_ENTRY = {"name", "path", "model_path", "signature_key"}
# Callers write it into a path, and we make it a folder's name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_SOURCES = ("s3", "file")
_LEAST = {"cache_size": 1, "disk_cache_size": 1, "memory_budget": bounds.MIB, "disk_budget": bounds.MIB}
_NEEDED = {
    "TENSORFLOW": "required for type tensorflow: where its models lie",
    "ONNX": "required for type onnx: where its models lie",
}


def check(predictor: specs.Predictor) -> Iterator[Violation]:
    models = predictor.models
    yield from bounds.json_value(_HERE, models)
    if predictor.type == "TRITON" and not (isinstance(models.get("dir"), str) and models["dir"]):
        yield Violation(_HERE, "type triton needs `dir`, the folder of its model repository")
    if not models:
        if predictor.type in _NEEDED:
            yield Violation(_HERE, _NEEDED[predictor.type])
        return
    for key in sorted(models.keys() - _KNOWN):
        yield Violation(f"{_HERE}.{key[:80]}", f"no such field; known are {', '.join(sorted(_KNOWN))}")
    yield from _places(models)
    yield from _limits(models, predictor.processes_per_replica)


def project_paths(models: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Field and path of every model that lies in the bundle."""
    for field, place in _named(models):
        if isinstance(place, str) and place and "://" not in place and not place.startswith("/"):
            yield field, place


def _named(models: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("path", "model_path", "dir"):
        if key in models:
            yield f"{_HERE}.{key}", models[key]
    listed = models.get("paths")
    for number, entry in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(entry, Mapping):
            yield f"{_HERE}.paths[{number}].path", entry.get("path", entry.get("model_path"))


def _places(models: Mapping[str, Any]) -> Iterator[Violation]:
    given = [key for key in ("path", "model_path", "paths", "dir") if key in models]
    if len(given) != 1:
        yield Violation(_HERE, f"exactly one of path, paths and dir; found {' and '.join(given) or 'none'}")
    if "paths" in models:
        yield from _paths(models["paths"])
    for field, place in _named(models):
        yield from _place(field, place)
    if not isinstance(models.get("signature_key", ""), str):
        yield Violation(f"{_HERE}.signature_key", "must be text")


def _paths(entries: Any) -> Iterator[Violation]:
    if not isinstance(entries, list) or not entries:
        yield Violation(f"{_HERE}.paths", "a list of models, each with name and path")
        return
    names: list[str] = []
    for number, entry in enumerate(entries):
        here = f"{_HERE}.paths[{number}]"
        if not isinstance(entry, Mapping) or entry.keys() - _ENTRY:
            yield Violation(here, f"a mapping with {', '.join(sorted(_ENTRY - {'model_path'}))}")
            continue
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            yield Violation(f"{here}.name", "required: the name that callers use")
        elif not _NAME.fullmatch(name):
            yield Violation(
                f"{here}.name", "letters, digits, `_`, `.` and `-`, at most 200, the first a letter or digit"
            )
        elif name in names:
            yield Violation(f"{here}.name", f"{name!r} is the name of two models")
        else:
            names.append(name)


def _place(field: str, place: Any) -> Iterator[Violation]:
    if not isinstance(place, str) or not place:
        yield Violation(field, "required: s3://..., file:///..., an absolute path, or a path in the project")
    elif "://" in place:
        scheme, _, rest = place.partition("://")
        if scheme not in _SOURCES or not rest.strip("/"):
            yield Violation(field, f"must be s3://bucket/key, file:///path, or a path in the project; found {place!r}")
    elif not place.startswith("/"):
        yield from bounds.inside(field, place)


def _limits(models: Mapping[str, Any], processes: int) -> Iterator[Violation]:
    for key, least in _LEAST.items():
        if key in models:
            yield from _whole(f"{_HERE}.{key}", models[key], least)
    memory, disk = models.get("cache_size"), models.get("disk_cache_size")
    if (memory is None) != (disk is None):
        yield Violation(_HERE, "cache_size and disk_cache_size: both or none of them")
    elif isinstance(memory, int) and isinstance(disk, int) and disk < memory:
        yield Violation(f"{_HERE}.disk_cache_size", f"must be at least cache_size ({memory})")
    if memory is not None and processes != 1:
        yield Violation(f"{_HERE}.cache_size", "only with processes_per_replica: 1; `memory_budget` has no such limit")
    pause = models.get("poll_interval", 0)
    if (
        isinstance(pause, bool)
        or not isinstance(pause, int | float)
        or (pause != 0 and not 1 <= pause <= bounds.LONGEST_SECONDS)
    ):
        yield Violation(f"{_HERE}.poll_interval", "must be 0 s for never, or 1 s to 24 h")


def _whole(field: str, value: Any, least: int) -> Iterator[Violation]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield Violation(field, "must be a whole number")
    else:
        yield from bounds.between(field, value, least, 2**50)
