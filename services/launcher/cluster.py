"""cluster.json: the addresses of a cluster, remembered for ever, and its processes, true while the supervisor lives.

Clients find a local cluster by this file. `up` writes it before the supervisor starts, afterwards only the supervisor.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from services.chassis import processes

SERVICES = ("node", "apiserver", "autoscaler", "logstream", "monitor", "gateway")


@dataclasses.dataclass(frozen=True, slots=True)
class Addresses:
    """host:port each, but `admin`, the path of a socket. `services` holds the direct address of every service but the
    gateway."""

    data: str
    control: str
    metrics: str
    admin: str
    services: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """One service as last seen by its supervisor."""

    address: str
    log: str
    identity: processes.Identity | None = None
    restarts: int = 0
    start_time: float = 0.0
    last_exit: str = ""

    @property
    def alive(self) -> bool:
        return self.identity is not None and processes.alive(self.identity)


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    addresses: Addresses
    supervisor: processes.Identity | None = None
    processes: Mapping[str, Process] = dataclasses.field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.supervisor is not None and processes.alive(self.supervisor)


def load(path: pathlib.Path) -> Cluster | None:
    """None where there is no file, or none that can be read: then addresses are chosen anew."""
    try:
        value = json.loads(path.read_text())
        return from_json(value)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(path: pathlib.Path, cluster: Cluster) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(to_json(cluster), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def to_json(cluster: Cluster) -> dict[str, Any]:
    addresses = cluster.addresses
    return {
        "pid": cluster.supervisor.pid if cluster.supervisor else None,
        "supervisor": _identity(cluster.supervisor),
        "data_address": addresses.data,
        "control_address": addresses.control,
        "metrics_address": addresses.metrics,
        "admin_address": addresses.admin,
        "addresses": dict(addresses.services),
        "services": {name: _process(process) for name, process in cluster.processes.items()},
    }


def from_json(value: Mapping[str, Any]) -> Cluster:
    addresses = Addresses(
        data=value["data_address"],
        control=value["control_address"],
        metrics=value["metrics_address"],
        admin=value["admin_address"],
        services=dict(value["addresses"]),
    )
    found = {}
    for name, item in value["services"].items():
        known = {key: item[key] for key in ("address", "log", "restarts", "start_time", "last_exit")}
        found[name] = Process(identity=_parse(item["identity"]), **known)
    return Cluster(addresses, _parse(value["supervisor"]), found)


def _process(process: Process) -> dict[str, Any]:
    return {
        "address": process.address,
        "pid": process.identity.pid if process.identity else None,
        "log": process.log,
        "identity": _identity(process.identity),
        "restarts": process.restarts,
        "start_time": process.start_time,
        "last_exit": process.last_exit,
    }


def _identity(identity: processes.Identity | None) -> dict[str, Any] | None:
    return None if identity is None else identity.to_json()


def _parse(value: Mapping[str, Any] | None) -> processes.Identity | None:
    return None if value is None else processes.Identity.from_json(value)
