"""`status`: what of a cluster runs, asked of the processes themselves."""

import asyncio
import io
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from services.launcher import catalog, cluster, layout, probing

_COLUMNS = ("service", "health", "pid", "uptime", "restarts", "address")
_WIDE = (*_COLUMNS, "last_exit", "log")


def collect(where: layout.Layout, environ: Mapping[str, str], now: float) -> dict[str, Any]:
    """Everything as plain values; `running` is false where there is no cluster."""
    known = cluster.load(where.cluster)
    if known is None:
        return {"home": str(where.home), "running": False, "services": []}
    services = catalog.services(known.addresses, where, environ)
    alive = {name for name, process in known.processes.items() if process.alive}
    health = asyncio.run(
        probing.check_health({s.name: s.address for s in services if s.name in alive and s.name != "gateway"}, 2.0)
    )
    gateway = next(service for service in services if service.name == "gateway")
    if "gateway" in alive:
        health["gateway"] = "SERVING" if probing.is_ready(gateway) else "NOT_SERVING"
    held_down = {path.name for path in where.stopped.iterdir()} if where.stopped.exists() else set()
    rows = [_row(service, known.processes.get(service.name), health, held_down, now) for service in services]
    return {
        "home": str(where.home),
        "running": known.running,
        "ready": known.running and all(row["health"] == "SERVING" for row in rows),
        "supervisor_pid": known.supervisor.pid if known.supervisor and known.running else None,
        "data_address": known.addresses.data,
        "control_address": known.addresses.control,
        "metrics_address": known.addresses.metrics,
        "services": rows,
    }


def _row(
    service: catalog.Service,
    process: cluster.Process | None,
    health: Mapping[str, str],
    held_down: set[str],
    now: float,
) -> dict[str, Any]:
    alive = process is not None and process.alive
    return {
        "service": service.name,
        "health": health.get(service.name, "HELD_DOWN" if service.name in held_down else "DOWN"),
        "pid": process.identity.pid if process and process.identity and alive else None,
        "uptime": round(now - process.start_time, 1) if process and alive else None,
        "restarts": process.restarts if process else 0,
        "address": service.address,
        "last_exit": process.last_exit if process else "",
        "log": str(service.log),
    }


def table(status: Mapping[str, Any], columns: Sequence[str] = _COLUMNS) -> str:
    if not status["services"]:
        return f"no cluster in {status['home']}; start one with: cortex up\n"
    rows = [[_cell(row[column]) for column in columns] for row in status["services"]]
    lines = [[column.upper() for column in columns], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
    state = f"supervisor pid {status['supervisor_pid']}" if status["running"] else "no supervisor runs"
    where = f"data http://{status['data_address']}  control http://{status['control_address']}"
    return f"{text}\n{state}  {where}\n"


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:.0f}s" if isinstance(value, float) else str(value)


def as_yaml(status: Mapping[str, Any]) -> str:
    from ruamel import yaml

    writer, text = yaml.YAML(typ="safe", pure=True), io.StringIO()
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # a documented switch, typed None
    writer.dump(dict(status), text)
    return text.getvalue()


def render(status: Mapping[str, Any], form: str) -> str:
    match form:
        case "json":
            return json.dumps(status, indent=2) + "\n"
        case "yaml":
            return as_yaml(status)
        case "wide":
            return table(status, _WIDE)
        case _:
            return table(status)


def show(where: layout.Layout, environ: Mapping[str, str], output: str) -> tuple[str, int]:
    """The text and the exit status: 0 when everything serves, 3 when nothing runs, 1 in between."""
    status = collect(where, environ, time.time())
    code = 0 if status.get("ready") else 1 if status["running"] else 3
    return render(status, output), code
