"""Generate: one JSON object in, one out, or a stream of server-sent events.

A model that declares its inputs gets the fields that bear their names as tensors and the rest as parameters. A
predictor that declares none gets the object as its payload, and its answer is the caller's.
"""

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from runtime.inference import (
    InferError,
    InferRequest,
    InferResponse,
    ModelMetadata,
    Parameters,
    Tensor,
    TensorMetadata,
)
from runtime.mounts import Visit
from runtime.oip import http_response, parameters, strict_json, tensors
from runtime.oip.predictor_engine import PredictorEngine
from runtime.oip.registry import Member
from runtime.oip.worker_call import WorkerCall
from runtime.scribe import INLINE_BYTES, Scribe

_EVENTS = b"text/event-stream"
_JSON = b"application/json"
_DECODER = msgspec.json.Decoder(dict[str, Any])
_Read = tuple[str, list[Tensor], Parameters]  # id, inputs, parameters


async def answer(
    visit: Visit, engine: Member, request: InferRequest, body: bytes, scribe: Scribe, *, streamed: bool
) -> None:
    model = await engine.metadata(request.model, request.version)
    as_is = not model.inputs and isinstance(engine, PredictorEngine)
    read = _timeout if as_is else _read
    began, deadline = request.began, request.deadline
    if len(body) > INLINE_BYTES:
        told = await scribe.ask(read, model, body, deadline=deadline)
    else:
        told = read(model, body)
    request.id, request.inputs, request.parameters = told
    request.deadline = parameters.deadline(request.parameters, began, deadline)
    if isinstance(engine, PredictorEngine) and as_is:
        await _as_is(visit, engine, request, body, streamed=streamed)
    elif streamed:
        await stream(visit, engine.stream(request), _event, scribe)
    else:
        found = await engine.infer(request)
        visit.reply(200, _JSON, await _encoded(found, _whole, scribe))


def _timeout(model: ModelMetadata, body: bytes) -> _Read:
    """Of a predictor that declares nothing: all else is for it to read."""
    told = strict_json.decode(_DECODER, body)
    return "", [], {"timeout": told["timeout"]} if "timeout" in told else {}


def _read(model: ModelMetadata, body: bytes) -> _Read:
    told = strict_json.decode(_DECODER, body)
    id = str(told.pop("id", ""))
    inner = told.pop("parameters", None)
    if inner is not None and not isinstance(inner, dict):
        raise InferError(400, "'parameters' must be an object")
    inputs = [_tensor(declared, told.pop(declared.name)) for declared in model.inputs if declared.name in told]
    return id, inputs, parameters.checked({**told, **(inner or {})})


def _tensor(declared: TensorMetadata, value: Any) -> Tensor:
    """A scalar is a tensor of one element; a list gets the dimensions of size 1 that the model wants in front."""
    shape: list[int] = []
    flat = [value]
    while flat and all(isinstance(item, list) for item in flat):
        if len(set(map(len, flat))) != 1:
            raise InferError(400, f"input {declared.name!r} has lists of different lengths")
        shape.append(len(flat[0]))
        flat = list(itertools.chain.from_iterable(flat))
    shape = [1] * (len(declared.shape) - len(shape)) + shape
    data = tensors.from_json(declared.name, declared.datatype, shape, strict_json.encode(flat))
    return Tensor(declared.name, declared.datatype, shape, data)


def _object(response: InferResponse) -> Mapping[str, Any]:
    told: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        told["id"] = response.id
    for tensor in response.outputs:
        values = tensors.to_values(tensor)
        told[tensor.name] = values[0] if len(values) == 1 else values
    return told


def _whole(response: InferResponse) -> bytes:
    return strict_json.encode(_object(response))


def _event(response: InferResponse) -> bytes:
    return b"data: %b\n\n" % _whole(response)


async def _encoded(response: InferResponse, encode: Callable[[InferResponse], bytes], scribe: Scribe) -> bytes:
    if http_response.is_large(response, None):
        return await scribe.ask(encode, http_response.alone(response))
    return encode(response)


async def stream(
    visit: Visit, responses: AsyncIterator[InferResponse], event: Callable[[InferResponse], bytes], scribe: Scribe
) -> None:
    """Server-sent events. An error before the first is an HTTP error, one after it the last event."""
    try:
        async for response in responses:
            if response.final and not response.outputs:
                continue
            data = await _encoded(response, event, scribe)
            if not visit.answered:
                visit.begin(_EVENTS)
            await visit.write(data)
    except InferError as error:
        if not visit.answered:
            raise
        told = {"error": str(error), "request_id": visit.exchange.request_id}
        await visit.write(b"data: %b\n\n" % strict_json.encode(told))
    if not visit.answered:
        visit.begin(_EVENTS)
    visit.end()


# A predictor that declares no tensors.


async def _as_is(visit: Visit, engine: PredictorEngine, request: InferRequest, body: bytes, *, streamed: bool) -> None:
    call = await engine.ask(request, body, "text/event-stream" if streamed else "application/json")
    try:
        if streamed:
            visit.begin(_EVENTS)
            async for chunk in call.parts() if call.streams else _once(call):
                await visit.write(chunk)
            visit.end(broken=call.broken)
        elif call.streams:
            await _single(visit, request, call.content_type, call.parts())
        else:
            visit.reply(200, _JSON, strict_json.encode(_named(request, call.content_type, await call.answer())))
    finally:
        engine.done(call)


async def _single(visit: Visit, request: InferRequest, kind: str, chunks: AsyncIterator[bytes]) -> None:
    """A generator's answer, which generate takes when it is one item."""
    body = b"".join([chunk async for chunk in chunks])
    lines = body.splitlines()
    if not kind.startswith("application/x-ndjson") or len(lines) != 1:
        raise InferError(400, "the predictor answers with a stream; ask generate_stream")
    visit.reply(200, _JSON, strict_json.encode(_named(request, "application/json", lines[0])))


def _named(request: InferRequest, kind: str, body: bytes) -> Mapping[str, Any]:
    head = {"model_name": request.model, "model_version": request.version or "1"}
    if kind.startswith("application/json"):
        value = msgspec.json.decode(body)
        return {**head, **value} if isinstance(value, dict) else {**head, "output": value}
    if kind.startswith("text/"):
        return {**head, "text_output": body.decode("utf-8", "replace")}
    raise InferError(500, f"the predictor answered with {kind}, which has no JSON form", "PREDICTOR_FAILED")


def _line(kind: str, body: bytes) -> bytes:
    if kind.startswith("application/json"):
        return b"data: %b\n\n" % body
    return b"data: %b\n\n" % strict_json.encode({"text_output": body.decode("utf-8", "replace")})


async def _once(call: WorkerCall) -> AsyncIterator[bytes]:
    yield _line(call.content_type, await call.answer())
