"""The gateway's test bench: a real Envoy, a control plane that can be restarted, and a caller."""

import asyncio
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import grpc

from services.apiserver import model, spec
from services.apiserver.xds import ads, listener
from services.apiserver.xds import gateway as gateways
from services.chassis import clock, telemetry
from services.chassis import server as servers
from services.launcher import admin
from tests.traffic import http_client

ENVOY = pathlib.Path(sys.prefix) / "bin" / "envoy"
WAIT_SECONDS = 20.0


def free_port() -> int:
    """Below the range that the kernel gives to outgoing connections: nobody takes it between now and its use."""
    while True:
        port = random.SystemRandom().randrange(10000, 20000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


async def until(condition: Callable[[], Any], what: str) -> Any:
    """Waits for a condition, by looking; fails with the reason after WAIT_SECONDS."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not (value := condition()):
                await asyncio.sleep(0.01)
            return value
    except TimeoutError:
        raise AssertionError(f"waited {WAIT_SECONDS} s for {what}") from None


class Rig:
    """Ports stay the same over restarts of any part."""

    def __init__(self, directory: pathlib.Path, collector_port: int = 0) -> None:
        self.directory = directory
        self._collector_port = collector_port
        self.data_port, self.control_port, self.check_port = (free_port() for _ in range(3))
        self.admin_socket = str(directory / "admin.sock")
        self.access_log = directory / "access.log"
        self.changes: list[str] = []
        self.gateway: gateways.Gateway
        self._server: servers.Server | None = None
        self._envoy: subprocess.Popen[bytes] | None = None
        self._pool = http_client.Pool("127.0.0.1", self.data_port)

    async def start_control_plane(self) -> None:
        tracing = self._collector_port > 0
        options = listener.Options(f"127.0.0.1:{self.data_port}", str(self.access_log), tracing)
        self.gateway = gateways.Gateway(options, clock.SystemClock())
        self.gateway.on_change(self.changes.append)
        self._server = servers.Server(f"127.0.0.1:{self.control_port}", telemetry.Telemetry(None, None))
        self._server.add_generic(ads.Ads(self.gateway, clock.SystemClock()).handlers())
        await self._server.start()

    async def stop_control_plane(self) -> None:
        if self._server is not None:
            await self._server.drain(0)
            self._server = None

    def start_envoy(self) -> None:
        file = self.directory / "bootstrap.json"
        file.write_text(json.dumps(self._bootstrap()))
        command = [str(ENVOY), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "warn"]
        command += ["--drain-time-s", "5", "--drain-strategy", "immediate"]
        with (self.directory / "envoy.log").open("ab") as log:
            self._envoy = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    @property
    def envoy_pid(self) -> int:
        assert self._envoy is not None
        return self._envoy.pid

    def stop_envoy(self, number: int = signal.SIGKILL) -> None:
        if self._envoy is not None:
            os.killpg(self._envoy.pid, number)
            self._envoy.wait(WAIT_SECONDS)
            self._envoy = None
        self._pool.close()

    async def publish(self, *routes: model.Route) -> None:
        """Publishes and waits until the gateway holds it all."""
        self.gateway.publish(routes)
        await self.settled()

    async def settled(self) -> None:
        try:
            await until(lambda: any(one.connected and one.in_sync for one in self.gateway.statuses()), "the gateway")
        except AssertionError as error:
            log = (self.directory / "envoy.log").read_text()[-3000:]
            raise AssertionError(f"{error}\n{self.gateway.statuses()}\n{log}") from None

    async def ask(self, path: str, body: bytes = b"", *, method: str = "POST", **headers: str) -> http_client.Response:
        """One request, sent once."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = await self._pool.take()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                head = http_client.head(method, path, "localhost", named, len(body))
                response = await connection.request(head, body)
        except BaseException:
            connection.close()
            raise
        self._pool.give(connection)
        return response

    async def admin(self, path: str) -> str:
        return await asyncio.to_thread(admin.ask, self.admin_socket, "GET", path, timeout=WAIT_SECONDS)

    async def stat(self, name: str) -> int:
        text = await self.admin(f"/stats?filter=^{name}$")
        return int(text.split(":")[1]) if text.strip() else 0

    def _bootstrap(self) -> dict[str, Any]:
        source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "1s"}
        api = {"api_type": "GRPC", "transport_api_version": "V3"}
        backoff = {"base_interval": "0.05s", "max_interval": "0.2s"}
        service = {"envoy_grpc": {"cluster_name": "apiserver", "retry_policy": {"retry_back_off": backoff}}}
        static = {"apiserver": self.control_port, "autoscaler": self.check_port}
        if self._collector_port:
            static["otel_collector"] = self._collector_port
        flush_at_once = {"name": "test", "static_layer": {"tracing.opentelemetry.min_flush_spans": 1}}
        return {
            "node": {"id": "gateway-test", "cluster": "cortex"},
            "admin": {"address": {"pipe": {"path": self.admin_socket, "mode": 0o600}}},
            "layered_runtime": {"layers": [flush_at_once]},
            "dynamic_resources": {
                "ads_config": {**api, "grpc_services": [service]},
                "cds_config": source,
                "lds_config": source,
            },
            "static_resources": {"clusters": [_static(name, port) for name, port in static.items()]},
        }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _static(name: str, port: int) -> dict[str, Any]:
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    host = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [host]}]},
    }


@contextlib.asynccontextmanager
async def running(directory: pathlib.Path, collector_port: int = 0) -> AsyncIterator[Rig]:
    rig = Rig(directory, collector_port)
    await rig.start_control_plane()
    rig.start_envoy()
    try:
        yield rig
    finally:
        rig.stop_envoy()
        await rig.stop_control_plane()


def route(
    api: str,
    revisions: Mapping[str, tuple[int, Sequence[model.Endpoint]]],
    *,
    activate: bool = False,
    to_zero: bool = False,
    **networking: Any,
) -> model.Route:
    """`revisions` maps an id to its weight and endpoints."""
    parts = tuple(model.RevisionRoute(name, weight, tuple(hosts)) for name, (weight, hosts) in revisions.items())
    settings = spec.Networking(endpoint=f"/{api}", **networking)
    return model.Route(f"namespaces/default/apis/{api}", f"/{api}", settings, 16, parts, activate, to_zero)


# One that the gateway bridges to HTTP, and one that goes to the replica's gRPC server.
BRIDGED = "/cortex.runtime.v1.PredictionService/Predict"
WHOLE = "/test.Echo/Call"


async def grpc_call(rig: Rig, request: bytes, metadata: Sequence[tuple[str, str]], method: str = BRIDGED) -> bytes:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{rig.data_port}") as channel:
        call: Any = channel.unary_unary(method)
        return bytes(await call(request, metadata=metadata, timeout=WAIT_SECONDS))
