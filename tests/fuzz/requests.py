"""Spoiled requests to a replica of the model `text`: bytes of an HTTP connection, or of a gRPC message."""

import gzip
import json
from typing import Any

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from tests.conformance.oip.target import raw, values
from tests.fuzz.mutations import LENGTHS, Mutator

_LARGE = 500_000  # bytes
INPUTS = (("TEXT", "BYTES", [2, 2]), ("NUMBER", "FP32", [2, 3]))
_PATHS = (*[b"infer"] * 12, b"generate", b"generate_stream", b"infer_stream", b"infer_stream", b"config", b"x")


def json_request() -> dict[str, Any]:
    inputs = [{"name": n, "datatype": d, "shape": s, "data": values(d, s)} for n, d, s in INPUTS]
    return {"id": "fuzz", "inputs": inputs, "outputs": [{"name": "TEXT_BACK"}], "parameters": {"priority": 1}}


def binary_request() -> tuple[dict[str, Any], bytes]:
    raws = [raw(d, s) for _, d, s in INPUTS]
    inputs = [
        {"name": n, "datatype": d, "shape": s, "parameters": {"binary_data_size": len(data)}}
        for (n, d, s), data in zip(INPUTS, raws, strict=True)
    ]
    return {"id": "fuzz", "inputs": inputs, "parameters": {"binary_data_output": True}}, b"".join(raws)


def plain() -> bytes:
    """A request with nothing wrong, for the other callers."""
    return _framed(b"/v2/models/demo/infer", json.dumps(json_request()).encode(), {})


def large_plain() -> bytes:
    """As large as the large ones below are, and nothing wrong with it."""
    rows = _LARGE // 60
    data = {"TEXT": ["ab"] * (2 * rows), "NUMBER": [0.5] * (3 * rows)}
    inputs = [{"name": n, "datatype": d, "shape": [rows, s[1]], "data": data[n]} for n, d, s in INPUTS]
    return _framed(b"/v2/models/demo/infer", json.dumps({"inputs": inputs}).encode(), {})


def http(m: Mutator) -> tuple[bytes, bool]:
    """One HTTP request that is wrong somewhere, and whether its frame is right, so that an answer is due."""
    if m.random.random() < 1 / 40:
        return _large(m), True
    make = m.random.choice((_json, _json, _binary, _binary, _encoded, _generate, _repository, _head))
    return make(m), make is not _head


def _large(m: Mutator) -> bytes:
    """What is short to say and long to read."""
    body = m.random.choice(
        (
            b"[" + b"[]," * (_LARGE // 3) + b"0]",
            b'{"id":"' + b'\\"[' * (_LARGE // 3) + b'"}',
            b'{"inputs":[{"name":"NUMBER","datatype":"INT64","shape":[%d,1],"data":[%b[1]]}]}'
            % (_LARGE // 4, b"[1]," * (_LARGE // 4 - 1)),
            b'{"inputs":[%b{}]}' % (b'{"name":"a","datatype":"b","shape":[]},' * (_LARGE // 40)),
            b'{"inputs":[],"parameters":{%b"a":1}}' % b"".join([b'"%d":1,' % at for at in range(_LARGE // 10)]),
            gzip.compress(bytes(100 * _LARGE), 1),
        )
    )
    encoding = {b"content-encoding": b"gzip"} if body[:2] == b"\x1f\x8b" else {}
    return _framed(_path(m), body, encoding)


def _framed(path: bytes, body: bytes, headers: dict[bytes, bytes]) -> bytes:
    told = {b"host": b"x", b"content-type": b"application/json", b"content-length": b"%d" % len(body), **headers}
    lines = b"".join([b"%b: %b\r\n" % line for line in told.items()])
    return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (path, lines, body)


def _path(m: Mutator) -> bytes:
    action = m.random.choice(_PATHS)
    return b"/v2/models/%b/%b" % (
        m.random.choice((*[b"demo"] * 12, b"no", b"demo/versions/1", b"demo/versions/1", b"%00")),
        action,
    )


def _json(m: Mutator) -> bytes:
    return _framed(_path(m), m.text(m.json(json_request())), {})


def _binary(m: Mutator) -> bytes:
    head, data = binary_request()
    text = m.text(m.json(head)) if m.random.random() < 0.6 else json.dumps(head).encode()
    data = m.bytes(data) if m.random.random() < 0.6 else data
    length = m.random.choice(LENGTHS) if m.random.random() < 0.2 else b"%d" % len(text)
    return _framed(_path(m), text + data, {b"inference-header-content-length": length})


def _encoded(m: Mutator) -> bytes:
    body = m.bytes(gzip.compress(m.text(m.json(json_request()))))
    return _framed(
        _path(m), body, {b"content-encoding": m.random.choice((b"gzip", b"deflate", b"br", b"gzip, gzip", b""))}
    )


def _generate(m: Mutator) -> bytes:
    body = m.json({"TEXT": [["a", "b"]], "NUMBER": [[1, 2, 3]], "id": "x", "parameters": {"temperature": 0.5}})
    return _framed(b"/v2/models/demo/generate", m.text(body), {})


def _repository(m: Mutator) -> bytes:
    path = m.random.choice(
        (
            b"/v2/repository/index", b"/v2/repository/models/demo/load", b"/v2/repository/models/demo/unload",
            b"/v2/systemsharedmemory/region/a/register", b"/v2/systemsharedmemory/status",
            b"/v2/cudasharedmemory/status",
            b"/v2/trace/setting", b"/v2/", b"/v2//", b"/v2/models/", b"/v2/models/demo/versions//infer",
        )
    )  # fmt: skip
    return _framed(path, m.text(m.json({"ready": True, "key": "/input_x", "offset": 0, "byte_size": 8})), {})


def _head(m: Mutator) -> bytes:
    """The request itself is damaged, its frame above all."""
    return m.bytes(plain())


def _message() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="demo", id="fuzz")
    for name, datatype, shape in INPUTS:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(raw(datatype, shape))
    return request


def grpc_plain() -> bytes:
    return _message().SerializeToString()


def grpc_message(m: Mutator) -> bytes:
    """One ModelInferRequest that is wrong somewhere: in a field, or in its bytes."""
    request = _message()
    _spoil(m, request)
    data = request.SerializeToString()
    return m.bytes(data) if m.random.random() < 0.4 else data


def _spoil(m: Mutator, request: pb.ModelInferRequest) -> None:
    tensor = m.random.choice(request.inputs)
    what = m.random.randrange(8)
    if what == 0:
        tensor.shape[:] = [m.random.choice((-1, 0, 1, 2, 2**31, 2**62)) for _ in range(m.random.randrange(5))]
    elif what == 1:
        tensor.datatype = m.random.choice(("", "INT8", "FP64", "BF16", "BYTES", "x" * 1000))
    elif what == 2:
        request.raw_input_contents[m.random.randrange(2)] = m.random.randbytes(m.random.choice((0, 1, 24, 1000)))
    elif what == 3:
        tensor.contents.fp32_contents.extend([float("nan"), float("inf"), 1.0])
    elif what == 4:
        request.ClearField("raw_input_contents")
        tensor.contents.bytes_contents.extend([b"\xff\0", b""] * m.random.randrange(4))
    elif what == 5:
        request.parameters[m.random.choice(("timeout", "triton_x", ""))].int64_param = m.random.choice(
            (-1, 0, 1, 2**62)
        )
    elif what == 6:
        request.outputs.add(name=m.random.choice(("", "TEXT_BACK", "no", "x" * 5000)))
    else:
        raws = [m.bytes(data) for data in request.raw_input_contents]
        request.raw_input_contents[:] = raws
