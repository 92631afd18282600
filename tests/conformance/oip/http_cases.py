"""Well-formed requests over HTTP: health, metadata, inference in every form, generate, repository."""

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.conformance.oip.cases import Case, NotApplicable, expect_refusal, expect_status, require
from tests.conformance.oip.target import HEADER, NOT_ADMIN, Target, changed, outputs_of

_OK = (200,)


def cases() -> list[Case]:
    return [*_health(), *_metadata(), *_infer(), *_forms(), *_generate(), *_repository()]


def _get(path: str, expects: str, check: Callable[[Any], bool], about: str, id: str) -> Case:
    def run(t: Target) -> None:
        version = _version(t) if "{version}" in path else ""
        reply = expect_status(t.http.send("GET", path.format(model=t.path(), version=version)), _OK)
        require(check(reply.json()), f"the body is {reply.shown()}")

    return Case(id, about, run, expects)


def _version(t: Target) -> str:
    versions = t.metadata.get("versions") or []
    if not versions:
        raise NotApplicable("the model tells no versions")
    return str(versions[-1])


def _unknown(path: str, about: str, id: str, allowed: tuple[int, ...] = (404,)) -> Case:
    def run(t: Target) -> None:
        expect_refusal(t.http.send("GET", path.format(model=t.path())), allowed)

    return Case(id, about, run, "404 and {'error': text}")


def _health() -> Iterator[Case]:
    yield _get("/v2/health/live", "200 {'live': true}", lambda b: b.get("live") is True, "liveness", "http-live")
    yield _get("/v2/health/ready", "200 {'ready': true}", lambda b: b.get("ready") is True, "readiness", "http-ready")
    yield _get(
        "{model}/ready",
        "200 {'name', 'ready': true}",
        lambda b: b.get("ready") is True,
        "model ready",
        "http-model-ready",
    )
    yield _get(
        "{model}/versions/{version}/ready",
        "200 {'ready': true}",
        lambda b: b.get("ready") is True,
        "model version ready",
        "http-model-version-ready",
    )
    yield _unknown("/v2/models/no-such-model/ready", "readiness of an unknown model", "http-unknown-model-ready")
    yield _unknown("{model}/versions/987/ready", "readiness of an unknown version", "http-unknown-version-ready")


def _metadata() -> Iterator[Case]:
    def server(body: Any) -> bool:
        return (
            isinstance(body.get("name"), str)
            and isinstance(body["version"], str)
            and isinstance(body["extensions"], list)
        )

    def model(body: Any) -> bool:
        tensors = [*body["inputs"], *body["outputs"]]
        return isinstance(body["name"], str) and all({"name", "datatype", "shape"} <= set(tensor) for tensor in tensors)

    yield _get("/v2", "200 with name, version, extensions", server, "server metadata", "http-server-metadata")
    yield _get("{model}", "200 with name, inputs, outputs", model, "model metadata", "http-model-metadata")
    yield _get("{model}/versions/{version}", "200", model, "metadata of a version", "http-model-version-metadata")
    yield _get("{model}/config", "200 with name", lambda b: "name" in b, "model configuration", "http-config")
    yield _get("{model}/stats", "200 with model_stats", lambda b: bool(b["model_stats"]), "statistics", "http-stats")
    yield _unknown("/v2/models/no-such-model", "metadata of an unknown model", "http-unknown-model")
    yield _unknown("{model}/versions/987", "metadata of an unknown version", "http-unknown-version")
    yield _unknown("/v2/models/no-such-model/config", "configuration of an unknown model", "http-unknown-model-config")

    def wrong_verb(t: Target) -> None:
        expect_status(t.http.send("GET", t.path("infer")), (404, 405))

    yield Case("http-infer-by-get", "GET on an infer path", wrong_verb, "405")


def _infer() -> Iterator[Case]:
    def flat(t: Target) -> None:
        reply = expect_status(t.infer(t.json_request()), _OK)
        body = reply.json()
        require(body["model_name"] == t.model, f"model_name is {body.get('model_name')!r}")
        require(body.get("id") == "case", f"the id {body.get('id')!r} is not the request's")
        require(sorted(outputs_of(reply)) == sorted(t.outputs), f"the outputs are {sorted(outputs_of(reply))}")

    def no_id(t: Target) -> None:
        request = {key: value for key, value in t.json_request().items() if key != "id"}
        expect_status(t.infer(request), _OK)

    def nested(t: Target) -> None:
        request = t.json_request()
        for tensor in request["inputs"]:
            tensor["data"] = _nest(tensor["data"], tensor["shape"])
        require(
            outputs_of(expect_status(t.infer(request), _OK)) == outputs_of(t.infer(t.json_request())), "another answer"
        )

    def version(t: Target) -> None:
        expect_status(t.infer(t.json_request(), version=_version(t)), _OK)

    def wanted(t: Target) -> None:
        reply = expect_status(t.infer({**t.json_request(), "outputs": [{"name": t.outputs[0]}]}), _OK)
        require(list(outputs_of(reply)) == t.outputs[:1], f"the outputs are {list(outputs_of(reply))}")

    def parameters(t: Target) -> None:
        said = {"a": 1, "b": True, "c": "text", "d": 0.5}
        expect_status(t.infer({**t.json_request(), "parameters": said}), _OK)

    def unknown_model(t: Target) -> None:
        body = json.dumps(t.json_request()).encode()
        expect_refusal(t.http.send("POST", "/v2/models/no-such-model/infer", body), (404,))

    def unknown_version(t: Target) -> None:
        expect_refusal(t.infer(t.json_request(), version="987"), (404,))

    def no_content_type(t: Target) -> None:
        expect_status(t.http.send("POST", t.path("infer"), json.dumps(t.json_request()).encode()), _OK)

    def chunked(t: Target) -> None:
        text = json.dumps(t.json_request()).encode()
        parts = [text[at : at + 20] for at in range(0, len(text), 20)]
        expect_status(t.http.send("POST", t.path("infer"), iter(parts), {"Transfer-Encoding": "chunked"}), _OK)

    yield Case("http-infer-json", "JSON in and out, flat data, id told back", flat, "200, all outputs")
    yield Case("http-infer-no-id", "a request without id", no_id, "200")
    yield Case("http-infer-nested", "data nested as the shape", nested, "200, as flat data")
    yield Case("http-infer-version", "the version in the path", version, "200")
    yield Case("http-infer-outputs", "one requested output", wanted, "200, that output only")
    yield Case("http-infer-parameters", "parameters of every kind", parameters, "200")
    yield Case("http-infer-unknown-model", "infer of an unknown model", unknown_model, "404")
    yield Case("http-infer-unknown-version", "infer of an unknown version", unknown_version, "404")
    yield Case("http-infer-no-content-type", "no content-type", no_content_type, "200")
    yield Case("http-infer-chunked", "a body in chunks", chunked, "200")


def _forms() -> Iterator[Case]:
    def binary_in(t: Target) -> None:
        require(outputs_of(expect_status(t.infer_binary(*t.binary_request()), _OK)) == _expected(t), "another answer")

    def binary_out(t: Target) -> None:
        outputs = [{"name": name, "parameters": {"binary_data": True}} for name in t.outputs]
        reply = expect_status(t.infer({**t.json_request(), "outputs": outputs}), _OK)
        require(HEADER.lower() in reply.headers, "the answer is not binary")
        require(outputs_of(reply) == _expected(t), "another answer")

    def binary_default(t: Target) -> None:
        head, raws = t.binary_request()
        reply = expect_status(t.infer_binary({**head, "parameters": {"binary_data_output": True}}, raws), _OK)
        require(HEADER.lower() in reply.headers, "the answer is not binary")
        require(outputs_of(reply) == _expected(t), "another answer")

    def mixed(t: Target) -> None:
        if len(t.inputs) < 2:
            raise NotApplicable("the model has one input")
        head, raws = t.binary_request()
        head = changed(head, 0, data=t.json_request()["inputs"][0]["data"], parameters=...)
        require(outputs_of(expect_status(t.infer_binary(head, raws[1:]), _OK)) == _expected(t), "another answer")

    def encoded(encoding: str) -> Callable[[Target], None]:
        def run(t: Target) -> None:
            bits = 31 if encoding == "gzip" else 15
            worker = zlib.compressobj(6, zlib.DEFLATED, bits)
            body = worker.compress(json.dumps(t.json_request()).encode()) + worker.flush()
            require(
                outputs_of(expect_status(t.infer(body, {"Content-Encoding": encoding}), _OK)) == _expected(t),
                "another answer",
            )

        return run

    yield Case("http-binary-input", "binary inputs, JSON outputs", binary_in, "200, as JSON inputs")
    yield Case("http-binary-output", "binary outputs by name", binary_out, "200, binary")
    yield Case("http-binary-both", "binary in, and out by binary_data_output", binary_default, "200, binary")
    yield Case("http-binary-mixed", "one input JSON, the others binary", mixed, "200")
    yield Case("http-request-gzip", "a body in gzip", encoded("gzip"), "200")
    yield Case("http-request-deflate", "a body in deflate", encoded("deflate"), "200")


def _expected(t: Target) -> dict[str, Any]:
    return outputs_of(expect_status(t.infer(t.json_request()), _OK))


def _nest(data: list[Any], shape: list[int]) -> Any:
    for size in reversed(shape[1:]):
        data = [data[at : at + size] for at in range(0, len(data), size)]
    return data


def _generate() -> Iterator[Case]:
    def body(t: Target) -> bytes:
        return json.dumps({told["name"]: told["data"] for told in t.json_request()["inputs"]}).encode()

    def generate(t: Target) -> None:
        told = expect_status(t.http.send("POST", t.path("generate"), body(t)), _OK).json()
        require(set(t.outputs) <= set(told) and told["model_name"] == t.model, f"the body has {sorted(told)}")

    def stream(t: Target) -> None:
        reply = expect_status(t.http.send("POST", t.path("generate_stream"), body(t)), _OK)
        require(reply.headers["content-type"].startswith("text/event-stream"), reply.headers["content-type"])
        events = [line[5:] for line in reply.body.decode().splitlines() if line.startswith("data:")]
        require(bool(events) and all(t.outputs[0] in json.loads(event) for event in events), f"the events are {events}")

    def broken(t: Target) -> None:
        expect_refusal(t.http.send("POST", t.path("generate"), b"{"), (400,))

    def unknown(t: Target) -> None:
        expect_refusal(t.http.send("POST", "/v2/models/no-such-model/generate", body(t)), (404,))

    yield Case("http-generate", "generate: inputs by name", generate, "200, outputs by name")
    yield Case("http-generate-stream", "generate_stream", stream, "200, events")
    yield Case("http-generate-broken", "generate with broken JSON", broken, "400")
    yield Case("http-generate-unknown-model", "generate of an unknown model", unknown, "404")


def _repository() -> Iterator[Case]:
    def index(t: Target) -> None:
        entries = expect_status(t.index(), _OK).json()
        require(any(entry["name"] == t.model and entry["state"] == "READY" for entry in entries), f"it has {entries}")

    def ready(t: Target) -> None:
        entries = expect_status(t.index(b'{"ready": true}'), _OK).json()
        require(all(entry["state"] == "READY" for entry in entries), f"it has {entries}")

    def nobody(t: Target) -> None:
        expect_refusal(t.http.send("POST", "/v2/repository/index", b""), NOT_ADMIN)

    def load(t: Target) -> None:
        expect_refusal(t.http.send("POST", "/v2/repository/models/no-such-model/load", b""), (400, 401, 403, 404))

    def region(t: Target) -> None:
        body = json.dumps({"key": "/../etc/passwd", "offset": 0, "byte_size": 8}).encode()
        expect_refusal(t.http.send("POST", "/v2/systemsharedmemory/region/x/register", body), (400, 403, 404, 501))

    yield Case("http-index", "the repository's index", index, "200 with the model READY")
    yield Case("http-index-ready", "what is ready of it", ready, "200")
    yield Case("http-index-nobody", "the index, by nobody in particular", nobody, "401 or 403")
    yield Case("http-load-unknown", "load of an unknown model, by nobody in particular", load, "4xx")
    yield Case("http-region-outside", "shared memory by a path", region, "4xx")
