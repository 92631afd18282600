"""Thin clients that can send what no real client would: plain HTTP/1.1, and gRPC with bytes for messages."""

import http.client
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

import grpc

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from tests.conformance.oip.cases import NotMet, Reply

SECONDS = 20.0
_SERVICE = "/inference.GRPCInferenceService/"


class Http:
    """A connection per request, so that no case leaves the next one a broken connection."""

    def __init__(self, url: str, headers: dict[str, str], admin: dict[str, str]) -> None:
        told = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
        self._host, self._port = told.hostname or "127.0.0.1", told.port or 80
        self._base, self._headers, self._admin = told.path.rstrip("/"), headers, admin
        self.sent = ""

    def send(
        self,
        method: str,
        path: str,
        body: "bytes | Iterable[bytes] | None" = None,
        headers: "dict[str, str] | None" = None,
        *,
        admin: bool = False,
    ) -> Reply:
        """`admin`: with the admin's token, where there is one. Raises NotMet when there is no answer at all."""
        shown = body[:400] if isinstance(body, bytes) else b"(chunks)" if body is not None else b""
        self.sent = f"{method} {path} {headers or ''} {shown!r}"
        connection = http.client.HTTPConnection(self._host, self._port, timeout=SECONDS)
        try:
            told = {**self._headers, **(self._admin if admin else {}), **(headers or {})}
            connection.request(method, self._base + path, body, told, encode_chunked=not isinstance(body, bytes | None))
            answer = connection.getresponse()
            lines = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, answer.read(), lines)
        except (OSError, http.client.HTTPException) as error:
            raise NotMet(f"no answer: {type(error).__name__} {error}") from None
        finally:
            connection.close()


class Grpc:
    """One channel. Messages go out as they are given: as messages, or as bytes that are none."""

    def __init__(self, address: str, metadata: dict[str, str], admin: dict[str, str]) -> None:
        options = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
        self._channel = grpc.insecure_channel(address, options=options)
        self._metadata, self._admin = _pairs(metadata), _pairs(admin)
        self.sent = ""

    def close(self) -> None:
        self._channel.close()

    def call(self, method: str, request: Any, kind: Any, *, timeout: float = SECONDS, admin: bool = False) -> Reply:
        metadata = self._metadata + (self._admin if admin else ())
        self.sent = f"{method} {_shown(request)}"
        call = self._channel.unary_unary(_SERVICE + method, _bytes, kind.FromString)
        try:
            return Reply("OK", message=call(request, timeout=timeout, metadata=metadata))
        except grpc.RpcError as error:
            return _refused(error)

    def stream(self, requests: "Iterable[pb.ModelInferRequest]", *, timeout: float = SECONDS) -> Iterator[Any]:
        """The wrapped responses. Raises NotMet when the stream itself fails."""
        found = list(requests)
        self.sent = "ModelStreamInfer " + " | ".join(_shown(request) for request in found)
        call = self._channel.stream_stream(
            _SERVICE + "ModelStreamInfer", _bytes, pb.ModelStreamInferResponse.FromString
        )
        try:
            yield from call(iter(found), timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise NotMet(f"the stream failed: {_refused(error).shown()}") from None


def _pairs(metadata: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in metadata.items())


def _refused(error: Any) -> Reply:
    return Reply(error.code().name, text=str(error.details()))


def _bytes(request: Any) -> bytes:
    data: bytes = request if isinstance(request, bytes) else request.SerializeToString()
    return data


def _shown(request: Any) -> str:
    return str(request).replace("\n", " ")[:400]
