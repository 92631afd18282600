"""After a restart of the node: whose processes still run? Nothing healthy is touched, nothing runs twice."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence

import structlog

from services.chassis import processes
from services.node import model, process

_log = structlog.get_logger("adoption")


def adopt(
    known: Sequence[model.Record], folder: Callable[[str], pathlib.Path], running: dict[str, processes.Identity]
) -> list[model.Record]:
    """The records made true. `running` maps the config path of every replica process found to its identity.

    A record whose process is gone keeps its launch: the planner then sees an exit. A process that was started in the
    instant before the node died is in no record; it is found by its command line.
    """
    found = []
    for record in known:
        config = str(process.config_path(folder(record.wish.replica)))
        present = running.get(config)
        if present is not None and (record.launch is None or not processes.alive(record.launch.identity)):
            _log.info("found a process that no record names", replica=record.wish.replica, pid=present.pid)
            record = dataclasses.replace(record, launch=model.Launch(present, time.time()))
        found.append(record)
    return found


def running_replicas(folder: pathlib.Path) -> dict[str, processes.Identity]:
    """Leaders of sessions that were started with a config file below `folder`, and no copies of such ones."""
    found: dict[str, processes.Identity] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        command = processes.command_line(int(entry.name))
        if len(command) < 2 or command[-2] != "--config" or not command[-1].startswith(f"{folder}/"):
            continue
        identity = processes.identify(int(entry.name))
        # What a replica forks keeps its command line, and may lead a session of its own, as the guard of its workers.
        if processes.command_line(processes.parent(int(entry.name))) == command:
            continue
        if identity is not None and identity.pid in processes.session_members(identity):
            found[command[-1]] = identity
    return found
