"""The server under test and requests that fit its model, made from what the model says of itself."""

import copy
import json
import struct
import urllib.parse
from typing import Any

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from tests.conformance.oip.cases import NotApplicable, NotMet, Reply, require
from tests.conformance.oip.transport import Grpc, Http

FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
HEADER = "Inference-Header-Content-Length"
NOT_ADMIN = (401, 403, "PERMISSION_DENIED", "UNAUTHENTICATED")


class Target:
    """`http` and `grpc` may be absent; cases for what is absent do not apply. `token` is the admin's, if any."""

    def __init__(
        self,
        http: "str | None",
        grpc: "str | None",
        model: "str | None",
        headers: "dict[str, str] | None" = None,
        *,
        token: str = "",
    ) -> None:
        self._admin = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = Http(http, headers or {}, self._admin) if http else None
        self._grpc = Grpc(grpc, headers or {}, self._admin) if grpc else None
        self.model = model or ""
        self.metadata: dict[str, Any] = {}

    def discover(self) -> None:
        """Asks what there is. Raises NotMet."""
        if self._http is not None and not self.model:
            told = self._http.send("POST", "/v2/repository/index", b"", admin=True)
            require(told.status == 200, f"the index was refused, so name a model: {told.shown()}")
            entries = told.json()
            require(bool(entries), "the repository is empty; name a model")
            self.model = entries[0]["name"]
        require(bool(self.model), "name a model; it cannot be found out without HTTP")
        self.metadata = self._metadata()
        require(
            bool(self.metadata.get("inputs")), f"model {self.model!r} declares no inputs, so no request can be made"
        )

    def _metadata(self) -> dict[str, Any]:
        if self._http is not None:
            found: dict[str, Any] = self._http.send("GET", self.path()).json()
            return found
        told = self.grpc.call("ModelMetadata", pb.ModelMetadataRequest(name=self.model), pb.ModelMetadataResponse)
        require(told.status == "OK", f"no metadata: {told.shown()}")
        tensors = {
            key: [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in getattr(told.message, key)]
            for key in ("inputs", "outputs")
        }
        return {"name": told.message.name, "versions": list(told.message.versions), **tensors}

    @property
    def http(self) -> Http:
        if self._http is None:
            raise NotApplicable("no HTTP address was given")
        return self._http

    @property
    def grpc(self) -> Grpc:
        if self._grpc is None:
            raise NotApplicable("no gRPC address was given")
        return self._grpc

    @property
    def sent(self) -> str:
        return " / ".join(one.sent for one in (self._http, self._grpc) if one is not None and one.sent)

    def forget(self) -> None:
        for one in (self._http, self._grpc):
            if one is not None:
                one.sent = ""

    def is_alive(self) -> bool:
        try:
            if self._http is not None:
                return self._http.send("GET", "/v2/health/live").status == 200
            return self.grpc.call("ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse).status == "OK"
        except NotMet:
            return False

    # What only admins may.

    def index(self, body: bytes = b"") -> Reply:
        return self._of_admins(self.http.send("POST", "/v2/repository/index", body, admin=True))

    def index_grpc(self) -> Reply:
        request, kind = pb.RepositoryIndexRequest(), pb.RepositoryIndexResponse
        return self._of_admins(self.grpc.call("RepositoryIndex", request, kind, admin=True))

    def _of_admins(self, reply: Reply) -> Reply:
        if reply.status in NOT_ADMIN and not self._admin:
            raise NotApplicable("it is for admins, and no token was given (--admin-token-file)")
        return reply

    # Requests that fit.

    def path(self, action: str = "", version: str = "") -> str:
        name = urllib.parse.quote(self.model, safe="")
        middle = f"/versions/{version}" if version else ""
        return f"/v2/models/{name}{middle}" + (f"/{action}" if action else "")

    @property
    def inputs(self) -> list[dict[str, Any]]:
        return [dict(told, shape=[abs(size) for size in told["shape"]]) for told in self.metadata["inputs"]]

    @property
    def outputs(self) -> list[str]:
        return [told["name"] for told in self.metadata["outputs"]]

    def json_request(self) -> dict[str, Any]:
        """Flat data; for datatypes without a JSON form the case does not apply."""
        inputs = [{**told, "data": values(told["datatype"], told["shape"])} for told in self.inputs]
        return {"id": "case", "inputs": inputs}

    def binary_request(self) -> tuple[dict[str, Any], list[bytes]]:
        raws = [raw(told["datatype"], told["shape"]) for told in self.inputs]
        inputs = [
            {**told, "parameters": {"binary_data_size": len(data)}}
            for told, data in zip(self.inputs, raws, strict=True)
        ]
        return {"id": "case", "inputs": inputs}, raws

    def grpc_request(self, *, contents: bool = False) -> pb.ModelInferRequest:
        request = pb.ModelInferRequest(model_name=self.model, id="case")
        for told in self.inputs:
            tensor = request.inputs.add(name=told["name"], datatype=told["datatype"], shape=told["shape"])
            if contents:
                field = CONTENTS.get(told["datatype"])
                if field is None:
                    raise NotApplicable(f"{told['datatype']} has no typed contents")
                found = values(told["datatype"], told["shape"])
                encoded = [item.encode() for item in found] if told["datatype"] == "BYTES" else found
                getattr(tensor.contents, field).extend(encoded)
            else:
                request.raw_input_contents.append(raw(told["datatype"], told["shape"]))
        return request

    # Sending.

    def infer(self, request: Any, headers: "dict[str, str] | None" = None, version: str = "") -> Reply:
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        told = {"Content-Type": "application/json", **(headers or {})}
        return self.http.send("POST", self.path("infer", version), body, told)

    def infer_binary(self, head: Any, raws: list[bytes], length: "str | None" = "") -> Reply:
        """`length` replaces the header's value; None leaves it out."""
        text = head if isinstance(head, bytes) else json.dumps(head).encode()
        told = {"Content-Type": "application/octet-stream"}
        if length is not None:
            told[HEADER] = length or str(len(text))
        return self.http.send("POST", self.path("infer"), text + b"".join(raws), told)

    def infer_grpc(self, request: Any, *, timeout: float = 20.0) -> Reply:
        return self.grpc.call("ModelInfer", request, pb.ModelInferResponse, timeout=timeout)

    def index_of(self, *datatypes: str) -> int:
        """Of the first input with one of the datatypes; the case does not apply where there is none."""
        for at, told in enumerate(self.metadata["inputs"]):
            if told["datatype"] in datatypes:
                return at
        raise NotApplicable(f"the model has no input of {' or '.join(datatypes)}")


def count(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def values(datatype: str, shape: list[int]) -> list[Any]:
    """Elements in JSON form."""
    numbers = [at % 7 for at in range(count(shape))]
    if datatype == "BYTES":
        return [str(number) for number in numbers]
    if datatype == "BOOL":
        return [number % 2 == 1 for number in numbers]
    if datatype in ("FP16", "BF16"):
        raise NotApplicable(f"{datatype} has no JSON form")
    return [float(number) for number in numbers] if datatype in ("FP32", "FP64") else numbers


def raw(datatype: str, shape: list[int]) -> bytes:
    if datatype == "BYTES":
        encoded = [item.encode() for item in values(datatype, shape)]
        return b"".join(struct.pack("<I", len(item)) + item for item in encoded)
    if datatype == "BF16":
        return bytes(2 * count(shape))
    if datatype == "FP16":
        return struct.pack(f"<{count(shape)}e", *values("FP32", shape))
    return struct.pack(f"<{count(shape)}{FORMATS[datatype]}", *values(datatype, shape))


def outputs_of(reply: Reply) -> dict[str, tuple[str, list[int], bytes]]:
    """Datatype, shape and raw bytes of each output of an HTTP answer, JSON or binary."""
    size = reply.headers.get(HEADER.lower())
    text = reply.body[: int(size)] if size else reply.body
    rest = reply.body[int(size) :] if size else b""
    told = Reply(reply.status, text).json()
    found, at = {}, 0
    for output in told["outputs"]:
        length = output.get("parameters", {}).get("binary_data_size")
        if length is None:
            data = packed(output["datatype"], flat(output["data"]))
        else:
            data, at = rest[at : at + length], at + length
        found[output["name"]] = output["datatype"], output["shape"], data
    require(at == len(rest), f"{len(rest) - at} bytes of binary data belong to no output")
    return found


def packed(datatype: str, data: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(item.encode())) + item.encode() for item in data)
    return struct.pack(f"<{len(data)}{FORMATS[datatype]}", *data)


def flat(data: Any) -> list[Any]:
    return [item for part in data for item in flat(part)] if isinstance(data, list) else [data]


def changed(request: dict[str, Any], at: int, **fields: Any) -> dict[str, Any]:
    """A copy whose input number `at` has other fields; a field given as `...` is left out."""
    new = copy.deepcopy(request)
    for name, value in fields.items():
        if value is ...:
            new["inputs"][at].pop(name, None)
        else:
            new["inputs"][at][name] = value
    return new
