"""Writes the gateway's bootstrap and the descriptor set it needs; run once before the gateway's first start."""

import json
import os
import pathlib
from collections.abc import Mapping

from services.chassis import telemetry
from services.launcher import bootstrap, descriptors, layout


def render(where: layout.Layout, environ: Mapping[str, str]) -> None:
    """Both files, replaced as a whole."""
    where.create()
    descriptor_set = where.gateway / "descriptors.binpb"
    _replace(descriptor_set, descriptors.build())
    gateway = bootstrap.Gateway(
        node_id="gateway-local",
        cluster_id="cortex",
        admin_socket=environ["CORTEX_ADMIN_SOCKET"],
        control_address=environ["CORTEX_CONTROL_ADDRESS"],
        apiserver_address=environ["CORTEX_APISERVER_ADDRESS"],
        autoscaler_address=environ["CORTEX_AUTOSCALER_ADDRESS"],
        logstream_address=environ["CORTEX_LOGSTREAM_ADDRESS"],
        monitor_address=environ["CORTEX_MONITOR_ADDRESS"],
        descriptors=str(descriptor_set),
        control_log=str(where.gateway_logs / "control.log"),
        otlp_endpoint=_otlp_endpoint(environ),
    )
    text = json.dumps(bootstrap.build(gateway), indent=2) + "\n"
    _replace(where.gateway / "bootstrap.json", text.encode())


def _otlp_endpoint(environ: Mapping[str, str]) -> str:
    """Empty where the gateway sends no traces; the apiserver, which judges the same, says why."""
    found = telemetry.collector(environ)
    return found.endpoint if found is not None and found.for_gateway else ""


def _replace(path: pathlib.Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
