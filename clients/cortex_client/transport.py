"""One channel to the control plane: deadlines always, retries where a second try is safe, errors as ours."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from cortex_client import environments, exceptions, tracing

# Every call of ours is a read, is idempotent, or carries a request_id: a second try never acts twice.
_SERVICES = (
    "cortex.apiserver.v1.ApiService",
    "cortex.apiserver.v1.BundleService",
    "cortex.apiserver.v1.EventService",
    "cortex.apiserver.v1.GatewayService",
    "cortex.autoscaler.v1.AutoscalerService",
    "cortex.monitor.v1.MonitorService",
)
_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_SERVICE_CONFIG = {"methodConfig": [{"name": [{"service": name} for name in _SERVICES], "retryPolicy": _RETRY}]}
# How long one try to connect may take, whatever gRPC calls it: enough for TLS across an ocean, soon enough to be told.
_CONNECT_MILLISECONDS = 1_500
_OPTIONS = (
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", _CONNECT_MILLISECONDS),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
)


class Pending:
    """A unary call under way; several of them cost one round trip together."""

    def __init__(
        self, call: Any, label: tracing.Label, translate: Callable[[grpc.RpcError, tracing.Label], Exception]
    ) -> None:
        self._call = call
        self._label = label
        self._translate = translate

    def result(self) -> Any:
        try:
            return self._call.result()
        except grpc.RpcError as error:
            raise self._translate(error, self._label) from None


class Transport:
    """Opens the channel when made, connects at the first call."""

    def __init__(self, environment: environments.Environment) -> None:
        self.environment = environment
        self.channel = open_channel(environment.address, tls=environment.tls)

    def start(self, method: Any, request: Any, timeout: float) -> Pending:
        label = tracing.label()
        return Pending(method.future(request, timeout=timeout, metadata=label.headers), label, self.translate)

    def call(self, method: Any, request: Any, timeout: float) -> Any:
        return self.start(method, request, timeout).result()

    def send(self, method: Any, requests: Iterator[Any], timeout: float) -> Any:
        """One client stream and its answer."""
        label = tracing.label()
        try:
            return method(requests, timeout=timeout, metadata=label.headers)
        except grpc.RpcError as error:
            raise self.translate(error, label) from None

    def stream(self, method: Any, request: Any, timeout: float | None) -> Iterator[Any]:
        """The messages of one server stream; the stream is cancelled when the caller stops reading."""
        label = tracing.label()
        call = method(request, timeout=timeout, metadata=label.headers)
        try:
            yield from call
        except grpc.RpcError as error:
            raise self.translate(error, label) from None
        finally:
            call.cancel()

    def translate(self, error: grpc.RpcError, label: tracing.Label) -> exceptions.CortexError:
        found = exceptions.from_rpc(error, label)
        if isinstance(found, exceptions.Unavailable) and not found.reason:
            where = self.environment
            found.message = f"the control plane at {where.address} does not answer: {_cause(found.message)}"
            start = "is it running? `cortex up` starts it, `cortex status` shows it"
            found.hint = (
                start if where.name == environments.LOCAL else f"check the address of environment {where.name!r}"
            )
        return found

    def close(self) -> None:
        self.channel.close()


def _cause(text: str) -> str:
    """gRPC tells how it came to a failure, address by address; what failed stands last."""
    return text.rpartition(": ")[2] if text.startswith("failed to connect") else text


def open_channel(address: str, *, tls: bool) -> grpc.Channel:
    if tls:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(), options=_OPTIONS)
    return grpc.insecure_channel(address, options=_OPTIONS)
