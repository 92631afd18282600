"""Predictions: HTTP to the API's URL, or gRPC through the same gateway. No control-plane process is on the way."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cortex_client import exceptions, names, tracing

if TYPE_CHECKING:
    import grpc
    import httpx


class Prediction:
    """A reply. `body` is as the predictor sent it; `trace_id` is the trace it was asked for in."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, trace_id: str = "") -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.trace_id = trace_id

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Predictor:
    """Keeps its connections; one per client."""

    def __init__(self) -> None:
        self._http: httpx.Client | None = None
        self._channels: dict[str, grpc.Channel] = {}

    def post(
        self,
        url: str,
        body: bytes,
        *,
        content_type: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        timeout: float,
    ) -> Prediction:
        import httpx

        if self._http is None:
            self._http = httpx.Client(trust_env=False)
        label = tracing.label()
        sent = _merged((("content-type", content_type), *label.headers), headers)
        request_id, trace_id = sent["x-request-id"], _trace_id(sent["traceparent"])
        try:
            answer = self._http.post(url, content=body, params=dict(params), headers=sent, timeout=timeout)
        except httpx.TimeoutException:
            message = f"{url} did not answer within {timeout:g} s"
            raise exceptions.DeadlineExceeded(message, request_id=request_id, trace_id=trace_id) from None
        except httpx.TransportError as error:
            message, hint = f"{url} cannot be reached: {error}", "is the gateway running? see `cortex status`"
            raise exceptions.Unavailable(message, request_id=request_id, trace_id=trace_id, hint=hint) from None
        found = Prediction(answer.status_code, dict(answer.headers), answer.content, trace_id)
        if answer.status_code >= 400:
            raise _failed(found, request_id)
        return found

    def call(self, url: str, api: str, payload: Any, *, timeout: float) -> Any:
        """Unary gRPC with a JSON payload."""
        import grpc
        from google.protobuf import json_format

        stub, request, metadata, label = self._prepare(url, api, payload)
        try:
            return _payload(stub.Predict(request, timeout=timeout, metadata=metadata), json_format)
        except grpc.RpcError as error:
            raise exceptions.from_rpc(error, label) from None

    def stream(self, url: str, api: str, payload: Any, *, timeout: float) -> Iterator[Any]:
        import grpc
        from google.protobuf import json_format

        stub, request, metadata, label = self._prepare(url, api, payload)
        call = stub.PredictStream(request, timeout=timeout, metadata=metadata)
        try:
            for message in call:
                yield _payload(message, json_format)
        except grpc.RpcError as error:
            raise exceptions.from_rpc(error, label) from None
        finally:
            call.cancel()

    def _prepare(self, url: str, api: str, payload: Any) -> tuple[Any, Any, tracing.Headers, tracing.Label]:
        from google.protobuf import json_format

        from cortex.runtime.v1 import prediction_service_pb2 as pb
        from cortex.runtime.v1 import prediction_service_pb2_grpc as rpc
        from cortex_client import transport

        parts = urlsplit(url)
        if parts.netloc not in self._channels:
            self._channels[parts.netloc] = transport.open_channel(parts.netloc, tls=parts.scheme == "https")
        request = pb.PredictRequest()
        if isinstance(payload, bytes):
            request.body = payload
        else:
            json_format.ParseDict(payload, request.json)
            request.json.SetInParent()
        label = tracing.label()
        metadata = (("cortex-api", _header(api)), *label.headers)
        return rpc.PredictionServiceStub(self._channels[parts.netloc]), request, metadata, label

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
        for channel in self._channels.values():
            channel.close()


def _merged(ours: tracing.Headers, given: Mapping[str, str]) -> dict[str, str]:
    """The caller's own word wins, however it is spelled; the state of a trace belongs to the trace."""
    wanted = {name.lower(): value for name, value in given.items()}
    kept = {name: value for name, value in ours if name != "tracestate" or "traceparent" not in wanted}
    return kept | wanted


def _trace_id(traceparent: str) -> str:
    parts = traceparent.split("-")
    return parts[1] if len(parts) > 1 else ""


def _header(api: str) -> str:
    namespace = names.namespace_of(api)
    return names.last(api) if namespace == names.DEFAULT_NAMESPACE else f"{namespace}/{names.last(api)}"


def _payload(message: Any, json_format: Any) -> Any:
    if message.WhichOneof("payload") == "json":
        return json_format.MessageToDict(message.json)
    return bytes(message.body)


def _failed(found: Prediction, request_id: str) -> exceptions.PredictionFailed:
    text = found.body[:2000].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(found.body)["error"])
    return exceptions.PredictionFailed(
        f"the API answered {found.status}: {text}".rstrip(": "),
        status=found.status,
        body=found.body,
        request_id=found.request_id or request_id,
        trace_id=found.trace_id,
    )
