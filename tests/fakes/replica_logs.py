"""Writes replica logs the way the runtime does: one JSON object a line, one append a line, rotation by renaming."""

import datetime
import json
import pathlib
from typing import Any

BEGIN = datetime.datetime(2026, 11, 20, 12, 0, 0, tzinfo=datetime.UTC)
BEGIN_NS = int(BEGIN.timestamp()) * 1_000_000_000


def stamp(seconds: float) -> str:
    return (BEGIN + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class ReplicaLog:
    """The log of one replica below `home`."""

    def __init__(self, home: pathlib.Path, replica: str, *, revision: str = "r1-aaaa", api: str = "iris") -> None:
        self.path = home / "logs" / "replicas" / "default" / api / revision / f"{replica}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, message: str, at: float, **fields: Any) -> None:
        self.write_time(message, stamp(at), **fields)

    def write_time(self, message: str, time: str, **fields: Any) -> None:
        known = {"time": time, "level": "info", "message": message, "worker": "w0", "source": "stdout"}
        self.raw(json.dumps(known | {"trace_id": "", "span_id": "", "request_id": ""} | fields).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def rotate(self) -> None:
        self.path.rename(self.path.with_name(self.path.name + ".1"))
