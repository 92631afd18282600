"""Choosing the addresses of a cluster once, and saying who is in the way when one is taken."""

import pathlib
import random
from collections.abc import Iterator, Mapping

from services.chassis import processes
from services.launcher import cluster

# Below the ephemeral range, so that no outgoing connection ever takes one, and outside the range of the replicas.
_FIRST, _LAST = 18000, 19999
_DATA, _CONTROL, _METRICS = "127.0.0.1:8888", "127.0.0.1:8889", "127.0.0.1:8890"
_LISTENING = "0A"


class AddressTaken(Exception):
    """The message names the holder and the way out."""


def choose(
    remembered: cluster.Cluster | None,
    environ: Mapping[str, str],
    *,
    admin: str,
    data_port: int | None,
    control_port: int | None,
    rng: random.Random,
) -> cluster.Addresses:
    """Flag before variable before memory before default; `admin` is a path, chosen elsewhere. Raises AddressTaken for
    the two ports users know."""
    known = remembered.addresses if remembered else None
    ours = _held_by_us(remembered)
    data = _with_port(environ.get("CORTEX_DATA_ADDRESS") or (known.data if known else _DATA), data_port)
    control = _with_port(environ.get("CORTEX_CONTROL_ADDRESS") or (known.control if known else _CONTROL), control_port)
    for address, flag, variable in (
        (data, "--data-port", "CORTEX_DATA_ADDRESS"),
        (control, "--control-port", "CORTEX_CONTROL_ADDRESS"),
    ):
        if address not in ours and not processes.is_free(address):
            raise AddressTaken(_explain(address, flag, variable))
    if data == control:
        raise AddressTaken(f"the data and the control listener cannot both be {data}; change --control-port")
    taken = {data, control}

    def pick(wanted: str | None) -> str:
        if wanted and wanted not in taken and (wanted in ours or processes.is_free(wanted)):
            taken.add(wanted)
            return wanted
        for _ in range(1000):
            address = f"127.0.0.1:{rng.randint(_FIRST, _LAST)}"
            if address not in taken and processes.is_free(address):
                taken.add(address)
                return address
        raise AddressTaken(f"no free port between {_FIRST} and {_LAST} is left for the services")

    before = known.services if known else {}
    return cluster.Addresses(
        data=data,
        control=control,
        metrics=pick(environ.get("CORTEX_METRICS_ADDRESS") or (known.metrics if known else _METRICS)),
        admin=admin,
        services={
            name: pick(environ.get(f"CORTEX_{name.upper()}_ADDRESS") or before.get(name))
            for name in cluster.SERVICES
            if name != "gateway"
        },
    )


def holder(port: int, proc: pathlib.Path = pathlib.Path("/proc")) -> str:
    """The process that listens on a TCP port, as `pid 12 (nginx -g daemon off)`; "" where it cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port, proc)}
    for pid, target in _open_sockets(proc):
        if target in sockets:
            command = " ".join(processes.command_line(pid))
            return f"pid {pid} ({command[:100]})"
    return ""


def _held_by_us(remembered: cluster.Cluster | None) -> set[str]:
    """Addresses that living processes of this cluster listen on: to be adopted, not to be feared."""
    if remembered is None:
        return set()
    known, held = remembered.addresses, set()
    for name, process in remembered.processes.items():
        if process.alive:
            held |= {known.data, known.control} if name == "gateway" else {process.address}
            if name == "monitor":
                held.add(known.metrics)
    return held


def _with_port(address: str, port: int | None) -> str:
    host, _, text = address.rpartition(":")
    if not host or not text.isdigit():
        raise AddressTaken(f"{address!r} is not an address of the form host:port")
    return f"{host}:{port if port is not None else text}"


def _explain(address: str, flag: str, variable: str) -> str:
    found = holder(int(address.rpartition(":")[2]))
    by = f"by {found}" if found else "by a process that this user cannot see"
    return f"{address} is taken {by}; end that, or choose another port with {flag} (or {variable})"


def _listening(port: int, proc: pathlib.Path) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == _LISTENING:
                yield fields[9]


def _open_sockets(proc: pathlib.Path) -> Iterator[tuple[int, str]]:
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            names = list((folder / "fd").iterdir())
        except OSError:
            continue
        for name in names:
            try:
                yield int(folder.name), str(name.readlink())
            except OSError:
                continue
