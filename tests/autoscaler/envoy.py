"""The real Envoy in front of one replica: a bootstrap with load reports and the activation check, nothing else."""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

from tests.autoscaler.world import NAME, until

CLUSTER = f"{NAME}/revisions/r1"
_TYPE = "type.googleapis.com/envoy.extensions"


def find_envoy() -> str | None:
    beside = pathlib.Path(sys.executable).with_name("envoy")
    return str(beside) if beside.exists() else shutil.which("envoy")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bootstrap(*, listen: int, autoscaler: str, replica: int) -> dict[str, Any]:
    check = {"envoy_grpc": {"cluster_name": "autoscaler"}}
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "data",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": _routes()}]},
        "http_filters": [
            {
                "name": "activation",
                "typed_config": {
                    "@type": f"{_TYPE}.filters.http.ext_authz.v3.ExtAuthz",
                    "grpc_service": {**check, "timeout": "20s"},
                    "transport_api_version": "V3",
                    "status_on_error": {"code": "ServiceUnavailable"},
                },
            },
            {"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}},
        ],
    }
    listener = {
        "name": "data",
        "address": _address(listen),
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    clusters = [_cluster("autoscaler", int(autoscaler.rpartition(":")[2]), h2=True), _cluster(CLUSTER, replica)]
    return {
        "node": {"id": "test-gateway", "cluster": "test"},
        "cluster_manager": {
            "load_stats_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [check]}
        },
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }


def _routes() -> list[dict[str, Any]]:
    per_route = {"@type": f"{_TYPE}.filters.http.ext_authz.v3.ExtAuthzPerRoute"}
    held = {**per_route, "check_settings": {"context_extensions": {"api": NAME}}}
    warm = {**per_route, "disabled": True}
    to_replica = {"cluster": CLUSTER, "timeout": "0s"}
    return [
        {"match": {"path": "/cold"}, "route": to_replica, "typed_per_filter_config": {"activation": held}},
        {"match": {"path": "/warm"}, "route": to_replica, "typed_per_filter_config": {"activation": warm}},
    ]


def _cluster(name: str, port: int, *, h2: bool = False) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if h2:
        options: dict[str, Any] = {
            "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
        cluster["typed_extension_protocol_options"] = {
            f"{_TYPE.partition('/')[2]}.upstreams.http.v3.HttpProtocolOptions": options
        }
    return cluster


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@contextlib.asynccontextmanager
async def replica() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A replica that answers when `finish` is set."""
    finish = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await finish.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], finish
    finally:
        finish.set()
        server.close()


@contextlib.asynccontextmanager
async def envoy(folder: pathlib.Path, *, autoscaler: str, upstream: int) -> AsyncIterator[int]:
    listen = free_port()
    file = folder / "envoy.json"
    file.write_text(json.dumps(bootstrap(listen=listen, autoscaler=autoscaler, replica=upstream)))
    command = [str(find_envoy()), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(os.environ))
    try:
        await until(lambda: _listens(listen), f"Envoy to listen, see {folder / 'envoy.log'}", 20)
        yield listen
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def ask(port: int, path: str, *, content_type: str = "application/json") -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: 2\r\n\r\n{{}}"
        writer.write(head.encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:]) if key}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return int(lines[0].split()[1]), headers, body
    finally:
        writer.close()
