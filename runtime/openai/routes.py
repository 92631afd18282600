"""The handler of `/v1`: requests in, calls of the predictor through the dispatcher, OpenAI's responses out."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from runtime import errors
from runtime.dispatch import Dispatcher
from runtime.inference import InferError
from runtime.mounts import Visit
from runtime.openai import pieces, problems, requests, shapes
from runtime.openai.calls import Prediction
from runtime.openai.problems import Broken, Problem
from runtime.scribe import INLINE_BYTES, Scribe

_JSON = b"application/json"
_EVENTS = b"text/event-stream"
_JOIN_BYTES = 65536
_AT_ONCE = 16  # calls of one request that wait or run together
_GENERATION: dict[bytes, shapes.Shape] = {b"chat/completions": shapes.Chat, b"completions": shapes.Completion}
_TASKS = {b"chat/completions": "text-generation", b"completions": "text-generation", b"embeddings": "embedding"}

_encode = msgspec.json.encode


def model_names(models: Mapping[str, Any]) -> list[str]:
    """Those of `models.paths`: the request's `model` tells the predictor which one is meant."""
    return [str(entry["name"]) for entry in models.get("paths") or () if entry.get("name")]


class Routes:
    """`models` are the names a request may give, `say` writes a line into the API's log."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        task: str,
        models: tuple[str, ...],
        say: Callable[[str, str], None],
        scribe: Scribe,
    ) -> None:
        self._scribe = scribe
        self._dispatcher = dispatcher
        self._task = task
        self._models = models
        self._say = say
        self._created = int(time.time())

    async def serve(self, visit: Visit) -> None:
        """Answers one request."""
        try:
            await self._route(visit)
        except Problem as problem:
            await self._fail(visit, problem)
        except RecursionError:  # what could be read may still be too deep to be written
            await self._fail(visit, Problem(400, "the request body is nested too deeply"))

    async def _fail(self, visit: Visit, problem: Problem) -> None:
        if visit.answered:
            await self._break_off(visit, problem)
            return
        lines = [(name, value) for name, value in problem.headers if name.lower() != b"content-type"]
        visit.reply(problem.status, _JSON, problem.body(visit.exchange.request_id), lines)

    async def _route(self, visit: Visit) -> None:
        path = visit.path.rstrip(b"/")
        if path == b"models" or path.startswith(b"models/"):
            self._tell_models(visit, path[7:].decode("utf-8", "replace"))
            return
        task = _TASKS.get(path)
        if task is None:
            raise Problem(404, "no such path; there are /v1/models and those of the predictor's task", code="not_found")
        if task != self._task:
            raise Problem(404, f"this API does {self._task}; the path needs `predictor.task: {task}`", code="not_found")
        if visit.method != b"POST":
            allow = [(b"allow", b"POST")]
            raise Problem(405, "send a POST request to this path", code="method_not_allowed", headers=allow)
        if path == b"embeddings":
            await self._embed(visit)
        else:
            await self._generate(visit, path)

    def _tell_models(self, visit: Visit, name: str) -> None:
        if visit.method not in (b"GET", b"HEAD"):
            allow = [(b"allow", b"GET")]
            raise Problem(405, "send a GET request to this path", code="method_not_allowed", headers=allow)
        if name:
            requests.check_model(name, self._models)
            visit.reply(200, _JSON, _encode(shapes.models([name], self._created)[0]))
        else:
            listed = {"object": "list", "data": shapes.models(self._models, self._created)}
            visit.reply(200, _JSON, _encode(listed))

    def _predict(self, visit: Visit, body: bytes) -> Prediction:
        return Prediction(self._dispatcher, visit, body, self._say)

    async def _read(
        self, visit: Visit, parse: Callable[[bytes, tuple[str, ...]], requests.Request]
    ) -> requests.Request:
        body = visit.body
        if len(body) > INLINE_BYTES:
            deadline = self._dispatcher.deadline(visit.exchange.began, visit.exchange.timeout)
            try:
                return await self._scribe.ask(parse, body, self._models, deadline=deadline)
            except InferError as error:
                raise problems.of_failure(error.failure) from None
        return parse(body, self._models)

    async def _embed(self, visit: Visit) -> None:
        request = await self._read(visit, requests.parse_embedding)
        async with self._predict(visit, request.calls[0]) as prediction:
            if prediction.passed:
                await _pass(visit, prediction)
                return
            with _Contract(prediction):
                found = [item async for item in prediction.items()]
                value = found[0] if len(found) == 1 and not prediction.call.streams else found
                body = shapes.embeddings(value, request.model, request.inputs, as_base64=request.base64)
            visit.reply(200, _JSON, _encode(body))

    async def _generate(self, visit: Visit, path: bytes) -> None:
        shape = _GENERATION[path]
        parse = requests.parse_chat if shape is shapes.Chat else requests.parse_completion
        request = await self._read(visit, parse)
        base = {
            "id": shape.prefix + visit.exchange.request_id,
            "object": shape.part if request.stream else shape.whole,
            "created": int(time.time()),
            "model": request.model,
        }
        if request.stream:
            await self._stream(visit, request, shape, base)
        elif len(request.calls) == 1:
            await self._answer(visit, request, shape, base)
        else:
            await self._answer_all(visit, request, shape, base)

    async def _answer(self, visit: Visit, request: requests.Request, shape: shapes.Shape, base: dict[str, Any]) -> None:
        async with self._predict(visit, request.calls[0]) as prediction:
            if prediction.passed:
                await _pass(visit, prediction)
                return
            items = [item async for item in prediction.items()]
            if not prediction.call.streams and isinstance(items[0], dict) and "choices" in items[0]:
                visit.reply(200, _JSON, _encode({**base, **items[0]}))
                return
            choices = shapes.Choices()
            usage = _collect(prediction, items, choices, 0)
            visit.reply(200, _JSON, _encode(_whole(base, choices, shape, usage)))

    async def _answer_all(
        self, visit: Visit, request: requests.Request, shape: shapes.Shape, base: dict[str, Any]
    ) -> None:
        """Several prompts, some at once so that workers and batches fill; the first failure ends them all."""
        choices, gate = shapes.Choices(), asyncio.Semaphore(_AT_ONCE)

        async def one(number: int, body: bytes) -> dict[str, Any] | None:
            async with gate, self._predict(visit, body) as prediction:
                items = [item async for item in prediction.items()]
                return _collect(prediction, items, choices, number * request.choices)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(number, body)) for number, body in enumerate(request.calls)]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        usage = None
        for task in tasks:
            usage = pieces.add(usage, task.result())
        visit.reply(200, _JSON, _encode(_whole(base, choices, shape, usage)))

    async def _stream(self, visit: Visit, request: requests.Request, shape: shapes.Shape, base: dict[str, Any]) -> None:
        if request.include_usage:
            base["usage"] = None
        usage = None
        for number, body in enumerate(request.calls):
            async with self._predict(visit, body) as prediction:
                if prediction.passed and number == 0:
                    await _pass(visit, prediction)
                    return
                out = _Chunks(visit, shape, base, number * request.choices)
                usage = pieces.add(usage, await out.send(prediction))
        if request.include_usage and usage is not None:
            await visit.write(_event({**base, "choices": [], "usage": usage}))
        await visit.write(b"data: [DONE]\n\n")
        visit.end()

    async def _break_off(self, visit: Visit, problem: Problem) -> None:
        """The head is sent, so the failure is the last event; there is no [DONE] after it."""
        told = {"error": problem.error(), "request_id": visit.exchange.request_id}
        await visit.write(_event(told))
        visit.end(broken=True)


class _Chunks:
    """Writes what one call yields. Items that are here at the same time leave together; none waits for another."""

    def __init__(self, visit: Visit, shape: shapes.Shape, base: dict[str, Any], offset: int) -> None:
        self._visit = visit
        self._shape = shape
        self._base = base
        self._offset = offset
        self._begun: dict[int, bool] = {}  # choices by index; true once they have said why they ended

    async def send(self, prediction: Prediction) -> dict[str, Any] | None:
        usage, unsent = None, b""
        async for item in prediction.items():
            with _Contract(prediction):
                found = pieces.read(item)
            usage = pieces.latest(usage, found.usage)
            for piece in found.pieces:
                piece.index += self._offset
                unsent += self._chunk(piece)
            if unsent and (not prediction.waiting or len(unsent) > _JOIN_BYTES):
                await self._write(unsent)
                unsent = b""
        begun = self._begun or {self._offset: False}
        for index in [index for index, ended in begun.items() if not ended]:
            unsent += self._chunk(pieces.Piece(index, finish_reason="stop"))
        await self._write(unsent)
        return usage

    def _chunk(self, piece: pieces.Piece) -> bytes:
        first = piece.index not in self._begun
        self._begun[piece.index] = self._begun.get(piece.index, False) or piece.finish_reason is not None
        return _event({**self._base, "choices": [self._shape.chunk(piece, first=first)]})

    async def _write(self, data: bytes) -> None:
        if not self._visit.answered:
            self._visit.begin(_EVENTS)
        if data:
            await self._visit.write(data)


class _Contract:
    """Within it, an answer that is none is an internal error to the caller and a line in the log."""

    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Broken):
            self._prediction.broke(str(error))
            raise problems.of_failure(errors.INTERNAL) from None


def _collect(
    prediction: Prediction, items: Iterable[Any], choices: shapes.Choices, offset: int
) -> dict[str, Any] | None:
    """Adds all of one call's pieces to `choices`; returns its usage."""
    usage = None
    for item in items:
        with _Contract(prediction):
            found = pieces.read(item)
        usage = pieces.latest(usage, found.usage)
        for piece in found.pieces:
            piece.index += offset
            choices.add(piece)
    return usage


def _whole(
    base: dict[str, Any], choices: shapes.Choices, shape: shapes.Shape, usage: dict[str, Any] | None
) -> dict[str, Any]:
    """Without `usage` where the predictor counts no tokens: nobody else can."""
    return {**base, "choices": choices.build(shape), **({"usage": usage} if usage is not None else {})}


async def _pass(visit: Visit, prediction: Prediction) -> None:
    """An answer with a content type of the predictor's own choice."""
    call = prediction.call
    if not call.streams:
        visit.reply(call.status, call.content_type.encode("latin-1"), await call.answer(), call.headers)
        return
    visit.begin(call.content_type.encode("latin-1"), call.headers)
    async for part in call.parts():
        await visit.write(part)
    visit.end(broken=call.broken)


def _event(value: Any) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"
