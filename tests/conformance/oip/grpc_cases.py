"""The RPCs, with requests that fit and requests that do not."""

from collections.abc import Callable, Iterator
from typing import Any

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from tests.conformance.oip.cases import Case, NotApplicable, Reply, expect_refusal, expect_status, require
from tests.conformance.oip.target import NOT_ADMIN, Target, outputs_of, raw

_BAD = ("INVALID_ARGUMENT",)
_OK = ("OK",)


def cases() -> list[Case]:
    return [*_described(), *_repository(), *_unknown(), *_infer(), *_hostile(), *_stream()]


def _rpc(
    id: str, about: str, method: str, kind: Any, make: Callable[[Target], Any], check: Callable[[Any], bool]
) -> Case:
    def run(t: Target) -> None:
        reply = expect_status(t.grpc.call(method, make(t), kind), _OK)
        require(check(reply.message), f"the answer is {str(reply.message)[:200]!r}")

    return Case(id, about, run, "OK")


def _missing(id: str, about: str, method: str, kind: Any, request: Callable[[Target], Any]) -> Case:
    def run(t: Target) -> None:
        expect_refusal(t.grpc.call(method, request(t), kind), ("NOT_FOUND",))

    return Case(id, about, run, "NOT_FOUND")


def _described() -> Iterator[Case]:
    yield _rpc(
        "grpc-live",
        "ServerLive",
        "ServerLive",
        pb.ServerLiveResponse,
        lambda t: pb.ServerLiveRequest(),
        lambda m: m.live,
    )
    yield _rpc(
        "grpc-ready",
        "ServerReady",
        "ServerReady",
        pb.ServerReadyResponse,
        lambda t: pb.ServerReadyRequest(),
        lambda m: m.ready,
    )
    yield _rpc(
        "grpc-model-ready", "ModelReady", "ModelReady", pb.ModelReadyResponse, lambda t: pb.ModelReadyRequest(name=t.model),
        lambda m: m.ready,
    )  # fmt: skip
    yield _rpc(
        "grpc-server-metadata", "ServerMetadata", "ServerMetadata", pb.ServerMetadataResponse,
        lambda t: pb.ServerMetadataRequest(), lambda m: bool(m.name and m.extensions),
    )  # fmt: skip
    yield _rpc(
        "grpc-model-metadata", "ModelMetadata", "ModelMetadata", pb.ModelMetadataResponse,
        lambda t: pb.ModelMetadataRequest(name=t.model), lambda m: bool(m.name and m.inputs and m.outputs),
    )  # fmt: skip
    yield _rpc(
        "grpc-config", "ModelConfig", "ModelConfig", pb.ModelConfigResponse, lambda t: pb.ModelConfigRequest(name=t.model),
        lambda m: bool(m.config.name),
    )  # fmt: skip
    yield _rpc(
        "grpc-statistics", "ModelStatistics", "ModelStatistics", pb.ModelStatisticsResponse,
        lambda t: pb.ModelStatisticsRequest(name=t.model), lambda m: len(m.model_stats) > 0,
    )  # fmt: skip


def _unknown() -> Iterator[Case]:
    wrong, version = "no-such-model", "987"
    yield _missing(
        "grpc-unknown-model", "metadata of an unknown model", "ModelMetadata", pb.ModelMetadataResponse,
        lambda t: pb.ModelMetadataRequest(name=wrong),
    )  # fmt: skip
    yield _missing(
        "grpc-unknown-version", "metadata of an unknown version", "ModelMetadata", pb.ModelMetadataResponse,
        lambda t: pb.ModelMetadataRequest(name=t.model, version=version),
    )  # fmt: skip
    yield _missing(
        "grpc-unknown-model-ready", "readiness of an unknown model", "ModelReady", pb.ModelReadyResponse,
        lambda t: pb.ModelReadyRequest(name=wrong),
    )  # fmt: skip


def _repository() -> Iterator[Case]:
    def index(t: Target) -> None:
        told = expect_status(t.index_grpc(), _OK).message.models
        require(any(entry.name == t.model and entry.state == "READY" for entry in told), f"it has {told}")

    def nobody(t: Target) -> None:
        request, kind = pb.RepositoryIndexRequest(), pb.RepositoryIndexResponse
        expect_refusal(t.grpc.call("RepositoryIndex", request, kind), NOT_ADMIN)

    def load(t: Target) -> None:
        request = pb.RepositoryModelLoadRequest(model_name="no-such-model")
        allowed = ("INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED", "INTERNAL", "UNAVAILABLE")
        expect_refusal(t.grpc.call("RepositoryModelLoad", request, pb.RepositoryModelLoadResponse), allowed)

    yield Case("grpc-index", "RepositoryIndex", index, "OK with the model READY")
    yield Case("grpc-index-nobody", "RepositoryIndex, by nobody in particular", nobody, "PERMISSION_DENIED")
    yield Case("grpc-load-unknown", "load of an unknown model, by nobody in particular", load, "an error")


def _outputs(reply: Reply) -> dict[str, tuple[str, list[int], bytes]]:
    told = reply.message
    pairs = zip(told.outputs, told.raw_output_contents, strict=True)
    return {output.name: (output.datatype, list(output.shape), data) for output, data in pairs}


def _infer() -> Iterator[Case]:
    def raw_contents(t: Target) -> None:
        reply = expect_status(t.infer_grpc(t.grpc_request()), _OK)
        require(reply.message.id == "case", f"the id is {reply.message.id!r}")
        require(sorted(_outputs(reply)) == sorted(t.outputs), f"the outputs are {sorted(_outputs(reply))}")

    def typed(t: Target) -> None:
        reply = expect_status(t.infer_grpc(t.grpc_request(contents=True)), _OK)
        require(_outputs(reply) == _outputs(t.infer_grpc(t.grpc_request())), "another answer than to raw contents")

    def wanted(t: Target) -> None:
        request = t.grpc_request()
        request.outputs.add(name=t.outputs[0])
        require(list(_outputs(expect_status(t.infer_grpc(request), _OK))) == t.outputs[:1], "other outputs")

    def same(t: Target) -> None:
        over_http = outputs_of(expect_status(t.infer_binary(*t.binary_request()), (200,)))
        require(over_http == _outputs(t.infer_grpc(t.grpc_request())), "HTTP and gRPC answer differently")

    def parameters(t: Target) -> None:
        request = t.grpc_request()
        request.parameters["a"].int64_param, request.parameters["b"].bool_param = 1, True
        request.parameters["c"].string_param, request.parameters["d"].double_param = "text", 0.5
        expect_status(t.infer_grpc(request), _OK)

    yield Case("grpc-infer-raw", "raw contents, id told back", raw_contents, "OK, all outputs")
    yield Case("grpc-infer-typed", "typed contents", typed, "OK, as raw contents")
    yield Case("grpc-infer-outputs", "one requested output", wanted, "OK, that output only")
    yield Case("grpc-as-http", "the same answer over both transports", same, "equal bytes")
    yield Case("grpc-infer-parameters", "parameters of every kind", parameters, "OK")


def _change(
    id: str, about: str, change: Callable[[Any], Any], *, contents: bool = False, allowed: tuple[str, ...] = _BAD
) -> Case:
    def run(t: Target) -> None:
        request = t.grpc_request(contents=contents)
        change(request)
        expect_refusal(t.infer_grpc(request), allowed)

    return Case(id, about, run, " or ".join(allowed))


def _shape(request: Any, shape: list[int]) -> None:
    request.inputs[0].shape[:] = shape


def _hostile() -> Iterator[Case]:
    yield _change(
        "grpc-bad-model", "an unknown model", lambda r: setattr(r, "model_name", "no"), allowed=("NOT_FOUND",)
    )
    yield _change(
        "grpc-bad-no-model", "no model name", lambda r: setattr(r, "model_name", ""), allowed=(*_BAD, "NOT_FOUND")
    )
    yield _change(
        "grpc-bad-version", "an unknown version", lambda r: setattr(r, "model_version", "987"), allowed=("NOT_FOUND",)
    )
    yield _change(
        "grpc-bad-version-text",
        "a version that is text",
        lambda r: setattr(r, "model_version", "x"),
        allowed=(*_BAD, "NOT_FOUND"),
    )
    yield _change("grpc-bad-no-inputs", "no inputs", lambda r: r.ClearField("inputs"))
    yield _change("grpc-bad-raw-more", "more raw contents than inputs", lambda r: r.raw_input_contents.append(b"x"))
    yield _change("grpc-bad-raw-less", "fewer raw contents than inputs", _fewer)
    yield _change("grpc-bad-raw-short", "raw contents too short", lambda r: _resize(r, -1))
    yield _change("grpc-bad-raw-long", "raw contents too long", lambda r: _resize(r, 1))
    yield _change("grpc-bad-name", "an empty input name", lambda r: setattr(r.inputs[0], "name", ""))
    yield _change("grpc-bad-unknown-input", "an unknown input", lambda r: setattr(r.inputs[0], "name", "no"))
    yield _change("grpc-bad-duplicate", "the same input twice", _duplicate)
    yield _change("grpc-bad-datatype", "an unknown datatype", lambda r: setattr(r.inputs[0], "datatype", "FP31"))
    yield _change("grpc-bad-no-datatype", "no datatype", lambda r: setattr(r.inputs[0], "datatype", ""))
    yield _change("grpc-bad-negative", "a negative size", lambda r: _shape(r, [-1, 16]))
    yield _change("grpc-bad-product", "sizes whose product overflows", lambda r: _shape(r, [2**32, 2**32]))
    yield _change("grpc-bad-rank", "more dimensions than the model has", lambda r: _shape(r, [1] * 9))
    yield _change("grpc-bad-output", "an unknown output", lambda r: r.outputs.add(name="no"))
    yield _change("grpc-bad-both", "typed and raw contents", _both, contents=True)
    yield _change("grpc-bad-typed-short", "typed contents too short", _shorten, contents=True)
    yield _change("grpc-bad-typed-other", "typed contents of another kind", _other_kind, contents=True)

    def garbage(t: Target) -> None:
        expect_refusal(t.infer_grpc(b"\xff\xff\xff\xff"), (*_BAD, "INTERNAL", "UNKNOWN"))

    def bytes_overflow(t: Target) -> None:
        at = t.index_of("BYTES")
        request = t.grpc_request()
        data = raw("BYTES", t.inputs[at]["shape"])
        request.raw_input_contents[at] = b"\xff\xff\xff\xff" + data[4:]
        expect_refusal(t.infer_grpc(request), _BAD)

    def region(t: Target) -> None:
        request = t.grpc_request()
        request.inputs[0].parameters["shared_memory_region"].string_param = "no-such-region"
        request.inputs[0].parameters["shared_memory_byte_size"].int64_param = 64
        del request.raw_input_contents[0]
        expect_refusal(t.infer_grpc(request), (*_BAD, "NOT_FOUND", "PERMISSION_DENIED", "UNIMPLEMENTED"))

    yield Case("grpc-bad-garbage", "bytes that are no message", garbage, "an error")
    yield Case("grpc-bad-bytes-overflow", "a BYTES length of 2**32 - 1", bytes_overflow, "INVALID_ARGUMENT")
    yield Case("grpc-bad-region", "a shared memory region nobody registered", region, "an error")


def _fewer(request: Any) -> None:
    if len(request.inputs) < 2:
        raise NotApplicable("the model has one input")
    del request.raw_input_contents[-1]


def _resize(request: Any, by: int) -> None:
    data = request.raw_input_contents[0]
    request.raw_input_contents[0] = data[:by] if by < 0 else data + bytes(by)


def _duplicate(request: Any) -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def _both(request: Any) -> None:
    request.raw_input_contents.extend([b"1234"] * len(request.inputs))


def _field(request: Any) -> Any:
    return request.inputs[0].contents.ListFields()[0][0].name


def _shorten(request: Any) -> None:
    del getattr(request.inputs[0].contents, _field(request))[-1]


def _other_kind(request: Any) -> None:
    contents = request.inputs[0].contents
    had = _field(request)
    count = len(getattr(contents, had))
    contents.Clear()
    if had == "fp64_contents":
        contents.int64_contents.extend([1] * count)
    else:
        contents.fp64_contents.extend([1.0] * count)


def _stream() -> Iterator[Case]:
    def order(t: Target) -> None:
        requests = []
        for number in range(5):
            requests.append(t.grpc_request())
            requests[-1].id = str(number)
        seen = [reply.infer_response.id for reply in t.grpc.stream(requests)]
        require(seen == ["0", "1", "2", "3", "4"], f"the answers came as {seen}")

    def error(t: Target) -> None:
        wrong = t.grpc_request()
        wrong.model_name = "no-such-model"
        replies = list(t.grpc.stream([t.grpc_request(), wrong, t.grpc_request()]))
        failed = [bool(reply.error_message) for reply in replies]
        require(sorted(failed) == [False, False, True], f"errors are {failed}")

    def final(t: Target) -> None:
        request = t.grpc_request()
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        replies = list(t.grpc.stream([request]))
        marked = [reply.infer_response.parameters["triton_final_response"].bool_param for reply in replies]
        require(bool(marked) and marked[-1], f"the final marks are {marked}")

    def empty(t: Target) -> None:
        require(list(t.grpc.stream([])) == [], "an answer to nothing")

    yield Case("grpc-stream-order", "five requests on one stream", order, "five answers in order")
    yield Case("grpc-stream-error", "an error between two requests", error, "two answers, one error_message")
    yield Case("grpc-stream-final", "the final response is marked", final, "triton_final_response")
    yield Case("grpc-stream-empty", "a stream without a request", empty, "no answer")
