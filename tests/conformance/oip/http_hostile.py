"""Malformed requests over HTTP: each must be refused with a 4xx that says why, and leave the server as it was."""

import copy
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.conformance.oip.cases import Case, NotApplicable, NotMet, expect_refusal
from tests.conformance.oip.target import HEADER, Target, changed, raw

_BAD = (400,)
Json = dict[str, Any]


def cases() -> list[Case]:
    return [*_texts(), *_requests(), *_inputs(), *_data(), *_binary(), *_bytes_elements(), *_bodies()]


def _text(id: str, about: str, body: "bytes | Callable[[Target], bytes]", *, lethal: bool = False) -> Case:
    def run(t: Target) -> None:
        expect_refusal(t.infer(body(t) if callable(body) else body), _BAD)

    return Case(id, about, run, "400 and {'error': text}", lethal)


def _request(id: str, about: str, change: Callable[[Json], Any], allowed: tuple[int, ...] = _BAD) -> Case:
    def run(t: Target) -> None:
        request = copy.deepcopy(t.json_request())
        told = change(request)
        expect_refusal(t.infer(request if told is None else told), allowed)

    return Case(id, about, run, f"{allowed[0]} and {{'error': text}}")


def _input(id: str, about: str, **fields: Any) -> Case:
    def run(t: Target) -> None:
        expect_refusal(t.infer(changed(t.json_request(), 0, **fields)), _BAD)

    return Case(id, about, run, "400 and {'error': text}")


def _texts() -> Iterator[Case]:
    yield _text("bad-empty", "an empty body", b"")
    yield _text("bad-no-json", "no JSON at all", b"hello")
    yield _text("bad-list", "a list instead of an object", b"[]")
    yield _text("bad-number", "a number instead of an object", b"7")
    yield _text("bad-truncated", "JSON that ends early", lambda t: json.dumps(t.json_request()).encode()[:-2])
    yield _text("bad-trailing", "text behind the JSON", lambda t: json.dumps(t.json_request()).encode() + b"x")
    yield _text("bad-utf8", "an id that is no UTF-8", b'{"id": "\xff\xfe", "inputs": []}')
    yield _text("bad-nul", "NUL bytes", bytes(64))
    yield _text("bad-deep-data", "data nested 1000 deep", _deep_data)
    yield _text("bad-deep-lists", "200000 opening brackets", b"[" * 200_000, lethal=True)
    yield _text("bad-deep-objects", "100000 objects in one another", b'{"a":' * 100_000, lethal=True)
    yield _text("bad-deep-parameter", "a parameter nested 5000 deep", _deep_parameter, lethal=True)


def _deep_data(t: Target) -> bytes:
    request = changed(t.json_request(), 0, data="@")
    return json.dumps(request).encode().replace(b'"@"', b"[" * 1000 + b"1" + b"]" * 1000)


def _deep_parameter(t: Target) -> bytes:
    request = {**t.json_request(), "parameters": {"a": "@"}}
    return json.dumps(request).encode().replace(b'"@"', b"[" * 5000 + b"1" + b"]" * 5000)


def _requests() -> Iterator[Case]:
    yield _request("bad-no-inputs", "no inputs", lambda r: r.pop("inputs") and None)
    yield _request("bad-empty-inputs", "an empty list of inputs", lambda r: r.update(inputs=[]))
    yield _request("bad-inputs-object", "inputs that are no list", lambda r: r.update(inputs={}))
    yield _request("bad-input-number", "an input that is a number", lambda r: r["inputs"].append(7))
    yield _request("bad-duplicate-input", "the same input twice", lambda r: r["inputs"].append(r["inputs"][0]))
    yield _request("bad-unknown-input", "an input the model does not have", lambda r: r["inputs"].append(_extra(r)))
    yield _request("bad-missing-input", "an input less than the model needs", lambda r: r["inputs"].pop() and None)
    yield _request(
        "bad-unknown-output", "an output the model does not have", lambda r: r.update(outputs=[{"name": "no"}])
    )
    yield _request("bad-output-without-name", "an output without a name", lambda r: r.update(outputs=[{}]))
    yield _request("bad-outputs-text", "outputs that are text", lambda r: r.update(outputs="all"))
    yield _request("bad-parameters-list", "parameters that are a list", lambda r: r.update(parameters=[1]))
    yield _request("bad-parameter-object", "a parameter that is an object", lambda r: r.update(parameters={"a": {}}))
    yield _request("bad-timeout-text", "a timeout that is text", lambda r: r.update(parameters={"timeout": "soon"}))
    yield _request("bad-reserved", "a reserved parameter", lambda r: r.update(parameters={"triton_x": 1}))
    yield _request("bad-id-number", "an id that is a number", lambda r: r.update(id=7))
    region = {"shared_memory_region": "no-such-region", "shared_memory_byte_size": 64}
    yield _request(
        "bad-region", "a shared memory region nobody registered", lambda r: _place(r, region), (400, 403, 404)
    )


def _extra(request: Json) -> Json:
    return {**request["inputs"][0], "name": "no-such-input"}


def _place(request: Json, region: Json) -> None:
    request["inputs"][0].pop("data")
    request["inputs"][0]["parameters"] = region


def _inputs() -> Iterator[Case]:
    yield _input("bad-no-name", "an input without a name", name=...)
    yield _input("bad-empty-name", "an input with an empty name", name="")
    yield _input("bad-name-number", "a name that is a number", name=7)
    yield _input("bad-no-datatype", "an input without a datatype", datatype=...)
    yield _input("bad-datatype", "an unknown datatype", datatype="FP31")
    yield _input("bad-datatype-case", "a datatype in small letters", datatype="fp32")
    yield _input("bad-no-shape", "an input without a shape", shape=...)
    yield _input("bad-shape-text", "a shape that is text", shape="1,16")
    yield _input("bad-shape-fraction", "a shape with a fraction", shape=[1, 1.5])
    yield _input("bad-negative", "a negative size", shape=[-1, 16])
    yield _input("bad-huge", "a size that overflows", shape=[2**63, 16])
    yield _input("bad-product", "sizes whose product overflows", shape=[2**32, 2**32])
    yield _input("bad-rank", "more dimensions than the model has", shape=[1] * 9)
    yield _input("bad-no-data", "an input without data", data=...)
    yield _input("bad-data-null", "data that is null", data=None)
    yield _input("bad-data-object", "data that is an object", data={})

    def wrong_datatype(t: Target) -> None:
        other = "FP64" if t.inputs[0]["datatype"] != "FP64" else "INT64"
        expect_refusal(t.infer(changed(t.json_request(), 0, datatype=other)), _BAD)

    yield Case("bad-other-datatype", "a datatype that is not the model's", wrong_datatype, "400")


def _elements(id: str, about: str, change: Callable[[list[Any]], list[Any]], *datatypes: str) -> Case:
    def run(t: Target) -> None:
        at = t.index_of(*datatypes) if datatypes else 0
        request = t.json_request()
        expect_refusal(t.infer(changed(request, at, data=change(list(request["inputs"][at]["data"])))), _BAD)

    return Case(id, about, run, "400 and {'error': text}")


def _data() -> Iterator[Case]:
    whole = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
    numbers = (*whole, "FP32", "FP64")
    yield _elements("bad-too-few", "an element too few", lambda d: d[:-1])
    yield _elements("bad-too-many", "an element too many", lambda d: [*d, d[0]])
    yield _elements("bad-ragged", "lists of different lengths", lambda d: [d[:-1], d[-1:]])
    yield _elements("bad-element-text", "text among numbers", lambda d: ["x", *d[1:]], *numbers)
    yield _elements("bad-element-bool", "true among numbers", lambda d: [True, *d[1:]], *numbers)
    yield _elements("bad-element-null", "null among numbers", lambda d: [None, *d[1:]], *numbers)
    yield _elements("bad-element-fraction", "a fraction among whole numbers", lambda d: [1.5, *d[1:]], *whole)
    yield _elements("bad-element-large", "a number too large for the datatype", lambda d: [2**64, *d[1:]], *whole)
    yield _elements("bad-element-infinite", "1e39 as FP32", lambda d: [1e39, *d[1:]], "FP32")
    for word in ("NaN", "Infinity", "-Infinity"):
        yield _text(
            f"bad-{word.strip('-').lower()}{'-negative' if word[0] == '-' else ''}", f"{word} in the data", _word(word)
        )


def _word(word: str) -> Callable[[Target], bytes]:
    def make(t: Target) -> bytes:
        request = t.json_request()
        at = t.index_of("FP32", "FP64", "INT32", "INT64")
        request = changed(request, at, data=["@", *request["inputs"][at]["data"][1:]])
        return json.dumps(request).replace('"@"', word).encode()

    return make


def _lengths(id: str, about: str, length: "str | None") -> Case:
    def run(t: Target) -> None:
        expect_refusal(t.infer_binary(*t.binary_request(), length), _BAD)

    return Case(id, about, run, "400 and {'error': text}")


def _sizes(id: str, about: str, size: Any) -> Case:
    def run(t: Target) -> None:
        head, raws = t.binary_request()
        told = size(len(raws[0])) if callable(size) else size
        expect_refusal(t.infer_binary(changed(head, 0, parameters={"binary_data_size": told}), raws), _BAD)

    return Case(id, about, run, "400 and {'error': text}")


def _binary() -> Iterator[Case]:
    yield _lengths("bad-length-missing", "binary inputs without the length header", None)
    yield _lengths("bad-length-beyond", "a length beyond the body", "1000000")
    yield _lengths("bad-length-negative", "a negative length", "-1")
    yield _lengths("bad-length-text", "a length that is text", "abc")
    yield _lengths("bad-length-huge", "a length of 30 digits", "9" * 30)
    yield _lengths("bad-length-inside", "a length that ends inside the JSON", "10")
    yield _lengths("bad-length-zero", "a length of zero", "0")
    yield _sizes("bad-size-negative", "a negative binary_data_size", -4)
    yield _sizes("bad-size-small", "a binary_data_size too small", lambda size: size - 1)
    yield _sizes("bad-size-large", "a binary_data_size too large", lambda size: size + 1)
    yield _sizes("bad-size-huge", "a binary_data_size of 2**62", 2**62)
    yield _sizes("bad-size-overflow", "a binary_data_size of 2**64 + 64", 2**64 + 64)
    yield _sizes("bad-size-text", "a binary_data_size that is text", "64")
    yield _sizes("bad-size-fraction", "a binary_data_size with a fraction", 64.5)

    def trailing(t: Target) -> None:
        head, raws = t.binary_request()
        expect_refusal(t.infer_binary(head, [*raws, b"more"]), _BAD)

    def short(t: Target) -> None:
        head, raws = t.binary_request()
        expect_refusal(t.infer_binary(head, [*raws[:-1], raws[-1][:-1]]), _BAD)

    def both(t: Target) -> None:
        head, raws = t.binary_request()
        expect_refusal(t.infer_binary(changed(head, 0, data=t.json_request()["inputs"][0]["data"]), raws), _BAD)

    yield Case("bad-binary-trailing", "more binary data than inputs", trailing, "400")
    yield Case("bad-binary-short", "less binary data than inputs", short, "400")
    yield Case("bad-binary-and-json", "an input as JSON and as binary", both, "400")


def _element_bytes(id: str, about: str, change: Callable[[bytes], bytes]) -> Case:
    def run(t: Target) -> None:
        at = t.index_of("BYTES")
        head, raws = t.binary_request()
        raws[at] = change(raw("BYTES", t.inputs[at]["shape"]))
        expect_refusal(t.infer_binary(changed(head, at, parameters={"binary_data_size": len(raws[at])}), raws), _BAD)

    return Case(id, about, run, "400 and {'error': text}")


def _bytes_elements() -> Iterator[Case]:
    yield _element_bytes("bad-bytes-overflow", "a BYTES length of 2**32 - 1", lambda d: b"\xff\xff\xff\xff" + d[4:])
    yield _element_bytes(
        "bad-bytes-beyond", "a BYTES length beyond the tensor", lambda d: struct.pack("<I", len(d)) + d[4:]
    )
    yield _element_bytes("bad-bytes-cut", "a BYTES tensor that ends inside a length", lambda d: d + b"\1\0")
    yield _element_bytes(
        "bad-bytes-more", "one BYTES element more than the shape says", lambda d: d + struct.pack("<I", 0)
    )
    yield _element_bytes("bad-bytes-less", "one BYTES element less than the shape says", lambda d: d[:-5])


def _bodies() -> Iterator[Case]:
    def bomb(t: Target) -> None:
        worker = zlib.compressobj(9, zlib.DEFLATED, 31)
        piece = b" " * 1_000_000
        body = b"".join([worker.compress(piece) for _ in range(300)]) + worker.flush()
        expect_refusal(t.infer(body, {"Content-Encoding": "gzip"}), (400, 413))

    def broken(t: Target) -> None:
        expect_refusal(t.infer(b"\x1f\x8b broken", {"Content-Encoding": "gzip"}), _BAD)

    def unknown(t: Target) -> None:
        expect_refusal(t.infer(json.dumps(t.json_request()).encode(), {"Content-Encoding": "zstd"}), (400, 415))

    def json_header(t: Target) -> None:
        """A header that says the JSON is shorter than it is, by whole tokens."""
        text = json.dumps(t.json_request()).encode()
        expect_refusal(t.http.send("POST", t.path("infer"), text + b"  ", {HEADER: str(len(text) + 1)}), _BAD)

    def oversize(t: Target) -> None:
        size = 2**31
        try:
            reply = t.http.send("POST", t.path("infer"), b"", {"Content-Length": str(size)})
        except NotMet as told:
            raise NotApplicable(f"the server waits for the body: {told}") from None
        expect_refusal(reply, (400, 413))

    yield Case("bad-bomb", "300 kB of gzip that become 300 MB", bomb, "413 or 400", lethal=True)
    yield Case("bad-gzip", "a body that is no gzip", broken, "400")
    yield Case("bad-encoding", "an unknown content-encoding", unknown, "415 or 400")
    yield Case("bad-json-trailing", "bytes behind the JSON that no input claims", json_header, "400")
    yield Case("bad-oversize", "a content-length of 2 GiB", oversize, "413 or 400")
