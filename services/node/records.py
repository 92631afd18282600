"""Records of replicas on disk: one JSON file each, replaced as a whole: a crash leaves the old or the new one."""

import dataclasses
import enum
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import structlog

from services.chassis import processes
from services.node import model

_log = structlog.get_logger("records")
_VERSION = 1


class Records:
    """The folder `replicas/<id>/` of each replica, with `record.json` in it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def folder(self, replica: str) -> pathlib.Path:
        return self._folder / replica

    def load(self) -> list[model.Record]:
        """Every readable record. A broken one is set aside, never deleted and never allowed to stop the node."""
        found = []
        for path in sorted(self._folder.glob("*/record.json")):
            try:
                found.append(from_json(json.loads(path.read_text())))
            except (OSError, ValueError, KeyError, TypeError) as error:
                _log.error("record is broken and set aside", path=str(path), error=str(error))
                path.rename(path.with_suffix(".broken"))
        return found

    def save(self, record: model.Record) -> None:
        folder = self.folder(record.wish.replica)
        folder.mkdir(exist_ok=True, mode=0o700)
        write_atomically(folder / "record.json", json.dumps(to_json(record)))

    def remove(self, record: model.Record) -> None:
        folder = self.folder(record.wish.replica)
        # First the record: a folder without one is no replica.
        (folder / "record.json").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: pathlib.Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def to_json(record: model.Record) -> dict[str, Any]:
    return {"version": _VERSION, **_plain(dataclasses.asdict(record))}


def from_json(value: Mapping[str, Any]) -> model.Record:
    if value.get("version") != _VERSION:
        raise ValueError(f"version {value.get('version')!r} of a record is not understood")
    fields = {field.name: value[field.name] for field in dataclasses.fields(model.Record) if field.name in value}
    fields["wish"] = model.Wish(**value["wish"])
    fields["last_failure"] = _failure(value.get("last_failure"))
    if stop := value.get("stop"):
        fields["stop"] = model.StopIntent(**stop)
    if launch := value.get("launch"):
        identity = processes.Identity.from_json(launch["identity"])
        killed_for = _failure(launch["killed_for"])
        fields["launch"] = model.Launch(**{**launch, "identity": identity, "killed_for": killed_for})
    return model.Record(**fields)


def _failure(value: Mapping[str, Any] | None) -> model.Failure | None:
    return None if value is None else model.Failure(**{**value, "reason": model.Reason(value["reason"])})


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
