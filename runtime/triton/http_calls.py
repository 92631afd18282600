"""Inferences by HTTP with binary tensors: a quarter of gRPC's cost in the front, and an end that is seen in any case.

HTTP cannot cancel, which is as well: what Triton has begun is known to have ended by its answer only (leavers.py).
"""

import asyncio
import json
import math
from typing import Any
from urllib.parse import quote

from runtime.inference import InferRequest, InferResponse, Tensor
from runtime.triton.checks import SIZES
from runtime.triton.shared_memory import Loan
from runtime.triton.wire import CALL, microseconds_left, passed

_MOST_IDLE = 64


class Refused(Exception):
    """Triton's answer is an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Exchange:
    """A request that was sent, and its answer, on a connection of its own."""

    def __init__(self, connection: "tuple[asyncio.StreamReader, asyncio.StreamWriter]") -> None:
        self.connection = connection
        self.whole = False
        self._status, self._headers = 0, dict[str, str]()

    async def answer(self) -> tuple[int, int, bytes]:
        """Status, length of the JSON, and body. Who is cancelled may ask again."""
        reader, _ = self.connection
        if not self._status:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            self._headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
            self._status = int(first.split()[1])
        data = await reader.readexactly(int(self._headers.get("content-length", 0)))
        self.whole = True
        return self._status, int(self._headers.get("inference-header-content-length", len(data))), data


class HttpCalls:
    """Connections to one server, each with one request at a time; one that is given up is closed."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key  # a header
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: InferRequest, version: str, loan: Loan | None, trace: str, name: str) -> Exchange:
        """`name` is how the model finds out whether its caller is still there. Raises OSError."""
        connection = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        head, body = _message(request, loan, name)
        path = f"/v2/models/{quote(request.model, safe='')}" + (f"/versions/{version}" if version else "") + "/infer"
        size = len(head) + sum(len(part) for part in body)
        lines = [f"POST {path} HTTP/1.1", "host: triton", self._key, f"inference-header-content-length: {len(head)}"]
        lines += [f"content-length: {size}", *([f"traceparent: {trace}"] if trace else []), "", ""]
        connection[1].writelines(["\r\n".join(lines).encode(), head, *body])
        return Exchange(connection)

    def end(self, exchange: Exchange) -> None:
        """The connection is free for the next, or closed when its answer has not come."""
        if exchange.whole and len(self._idle) < _MOST_IDLE:
            self._idle.append(exchange.connection)
        else:
            exchange.connection[1].close()

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


def response(answer: tuple[int, int, bytes], request_id: str, loan: Loan | None) -> InferResponse:
    """Raises Refused."""
    status, json_size, data = answer
    if status != 200:
        raise Refused(status, str(json.loads(data or b"{}").get("error", f"HTTP status {status}")))
    return _response(json.loads(data[:json_size]), memoryview(data)[json_size:], request_id, loan)


def _message(request: InferRequest, loan: Loan | None, call: str) -> tuple[bytes, list[bytes]]:
    inputs, body = [], []
    for tensor in request.inputs:
        place = loan.put(tensor) if loan is not None else None
        if place is None:
            body.append(bytes(tensor.data))
            where: dict[str, Any] = {"binary_data_size": len(tensor.data)}
        else:
            where = _placed(*place)
        told = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        inputs.append({**told, "parameters": where})
    parameters = {**passed(request.parameters), "binary_data_output": True, CALL: call}
    if request.deadline:
        parameters["timeout"] = microseconds_left(request)
    message: dict[str, Any] = {"id": request.id, "inputs": inputs, "parameters": parameters}
    if loan is not None:
        outputs = [(name, _placed(*room) if room else {"binary_data": True}) for name, room in loan.outputs()]
    else:
        outputs = [(name, {"binary_data": True}) for name in request.outputs]
    if outputs:
        message["outputs"] = [{"name": name, "parameters": where} for name, where in outputs]
    return json.dumps(message).encode(), body


def _placed(region: str, offset: int, size: int) -> dict[str, Any]:
    return {"shared_memory_region": region, "shared_memory_offset": offset, "shared_memory_byte_size": size}


def _response(told: dict[str, Any], raw: memoryview, request_id: str, loan: Loan | None) -> InferResponse:
    outputs, at = [], 0
    for output in told["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        data = bytes(raw[at : at + size])
        at += size
        if loan is not None:
            data = loan.take(output["name"], SIZES.get(output["datatype"], 0) * math.prod(output["shape"])) or data
        outputs.append(Tensor(output["name"], output["datatype"], output["shape"], data))
    parameters = told.get("parameters") or {}
    return InferResponse(told["model_name"], told["model_version"], request_id, outputs, parameters)
