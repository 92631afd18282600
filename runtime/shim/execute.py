"""One call of the user's method: arguments in, an answer out, and every failure turned into the answer it deserves."""

from __future__ import annotations

import functools
import itertools
import json
import types
from collections.abc import Sequence
from typing import Any, Callable, List, Tuple

from . import encode, logs, payload, signature, tensors, tracebacks, weight

# Answers on their way, and the requests they are for.
Replies = List[Tuple[payload.Request, encode.Encoded]]

INTERNAL = "internal server error"
_JSON_TYPES = frozenset([dict, list, int, float, bool, type(None)])


class Cancelled(BaseException):
    """Raised inside the user's code when nobody waits for the answer any more."""


class Executor:
    """Knows the contract and what monitoring wants; used by both engines."""

    def __init__(
        self,
        contract: signature.Contract,
        channel: logs.LogChannel,
        monitoring: dict[str, str],
        outputs: list[dict[str, Any]] | None = None,
    ) -> None:
        self.contract = contract
        self._tensors = tensors.Encoder(outputs or [])
        self._channel = channel
        self._kind = monitoring.get("model_type", "")
        self._key = monitoring.get("key", "")
        self._plain = (
            not self._kind and contract.after is None and contract.post is None and not contract.is_rpc
        )  # nobody looks at a result but its encoder

    def prepare(self, request: payload.Request) -> tuple[signature.Method, dict[str, Any]]:
        """Raises Malformed, and KeyError for a verb the front should not have let through."""
        method = self.contract.verbs[request.method]
        return method, method.arguments(request)

    def arguments(self, request: payload.Request) -> dict[str, Any]:
        """Those of the predictor's method, with what `pre` makes of the payload; on a thread without a loop."""
        _, arguments = self.prepare(request)
        if self.contract.pre is not None:
            value = settled(self.pre(arguments, request))
            if "payload" in arguments:
                arguments["payload"] = value
        return arguments

    def pre(self, arguments: dict[str, Any], request: payload.Request) -> Any:
        """What the hook returns; an async one's is to be awaited."""
        hook = self.contract.pre
        assert hook is not None
        return hook.function(
            **{name: arguments[name] if name in arguments else get(request) for name, get in hook.getters}
        )

    def keeps_permit(self, result: Any) -> bool:
        """Whether the result is encoded at once, permit in hand: another frame and another thread cost more than that.
        The steps of a stream need the permit anyway."""
        return (self.contract.post is None and not weight.is_heavy(result)) or is_stream(result)

    def finish(self, result: Any, arguments: dict[str, Any], request: payload.Request) -> encode.Encoded:
        """Encodes what the method returned; runs in the part that may be cancelled, as it may call user code."""
        if self._plain and type(result) in _JSON_TYPES and not request.has_tensors:
            return encode.Encoded(200, encode.JSON, encode.to_json(result))
        if request.context is not None:
            whole: encode.Encoded = self.contract.verbs[request.method].finish(result, request)
            return whole
        result, callback = split(result)
        return self.encoded(settled(self.post(result, arguments, request)), callback, arguments, request)

    def post(self, result: Any, arguments: dict[str, Any], request: payload.Request) -> Any:
        """What the hook makes of a result; streams pass as they are."""
        hook = self.contract.post
        if hook is None or is_stream(result):
            return result
        return hook.function(**_hook_arguments(hook.names, result, arguments, request))

    def encoded(
        self, result: Any, callback: Any, arguments: dict[str, Any], request: payload.Request
    ) -> encode.Encoded:
        if is_stream(result):
            answer = encode.Encoded(200, "", b"")
            answer.chunks = result
            if request.has_tensors:
                answer.content_type = tensors.STREAM_TYPE
                answer.item = functools.partial(self._streamed, request, _asked(arguments, request))
        else:
            tensor = request.has_tensors and not encode.is_response(result)
            answer = self._as_tensors(result, arguments, request) if tensor else encode.encode(result, request)
            if self._kind and answer.status < 400:
                answer.prediction = encode.prediction(result, self._kind, self._key)
        if answer.chunks is not None and self.contract.verbs[request.method].is_batched:
            raise TypeError("a batched predict() cannot return streams, nor responses that are one")
        after = [*answer.after, callback] if callback is not None else list(answer.after)
        hook = self.contract.after
        if hook is not None:
            told = _hook_arguments(self.contract.after_names, result, arguments, request)
            after.append(functools.partial(hook, **told))
        answer.after = after
        return answer

    def _as_tensors(self, result: Any, arguments: dict[str, Any], request: payload.Request) -> encode.Encoded:
        try:
            head, buffers = self._tensors.message(result, *request.model(), _asked(arguments, request))
        except tensors.Unfit as error:
            raise payload.Malformed(str(error)) from None
        return encode.Encoded(200, f"{tensors.TYPE}; header={len(head)}", b"".join([head, *buffers]))

    def _streamed(self, request: payload.Request, asked: tensors.Tensors, item: Any) -> bytes:
        """One message of a stream of tensors, behind its size."""
        head, buffers = self._tensors.message(item, *request.model(), asked)
        size = sum(map(len, buffers))
        return b"".join([tensors.STREAM_HEAD.pack(len(head), size), head, *buffers])

    def failed(self, error: BaseException, request: payload.Request) -> encode.Encoded:
        """The answer to a caller; the traceback goes to the log and nowhere else."""
        if request.context is not None:
            from . import rpc, rpc_context  # here already, as the call is one of a service of the user's own

            if request.context.aborted or isinstance(error, rpc_context.Aborted):
                return rpc.ended(request.context)
        if isinstance(error, payload.Malformed):
            return refusal(400, str(error), "PAYLOAD_MALFORMED", request.request_id)
        try:
            if (response := _carried(error)) is not None:
                return encode.encode(response, request)
            chosen = _chosen(error)
            if chosen is not None:
                return self._told(*chosen, request)
        except Cancelled:
            raise
        except BaseException as problem:  # the error's own attributes are user code too
            self.report(problem)
        self.report(error)
        return refusal(500, INTERNAL, "PREDICTOR_FAILED", request.request_id)

    def report(self, error: BaseException) -> None:
        self._channel.emit("error", tracebacks.of_user(error), "logging", {"logger": "predictor"})

    def _told(self, status: int, detail: Any, headers: Any, request: payload.Request) -> encode.Encoded:
        """The user decides status, text and headers. Raises what they raise."""
        detail = json.loads(encode.to_json(detail))
        pairs = headers.items() if hasattr(headers, "items") else headers or ()
        lines = encode.check_headers([(str(name), str(value)) for name, value in pairs])
        lines = [(name, value) for name, value in lines if name.lower() != "content-type"]
        text = detail if isinstance(detail, str) else json.dumps(detail)
        body = {"error": text, "detail": detail, "request_id": request.request_id}
        return encode.Encoded(status, encode.JSON, encode.to_json(body), lines)


def _chosen(error: Any) -> tuple[int, Any, Any] | None:
    """Status, detail and headers of what is like an HTTPException of Starlette, FastAPI or werkzeug."""
    status: Any = getattr(error, "status_code", None)
    if _is_status(status) and hasattr(error, "detail"):
        return status, error.detail, getattr(error, "headers", None)
    code: Any = getattr(error, "code", None)
    if _is_status(code) and hasattr(error, "description") and callable(getattr(error, "get_headers", None)):
        return code, error.description, error.get_headers()
    return None


def _carried(error: Any) -> Any:
    """The response of an exception that is one: werkzeug's, of `abort(Response(...))`, has nothing else to say. Those
    of clients carry the response of somebody else, which is none for our caller."""
    response = getattr(error, "response", None)
    is_one = response is not None and callable(getattr(error, "get_response", None)) and encode.is_response(response)
    return response if is_one else None


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and 300 <= value <= 599


def run_after(function: Callable[[], Any]) -> None:
    """What runs after an answer, on a thread: a plain function, or one that returns what has to be awaited."""
    settled(function())


def settled(outcome: Any) -> Any:
    """What a plain function gave; where that is to be awaited, on a thread without a loop, what comes of it."""
    if type(outcome) is types.CoroutineType:
        import asyncio

        return asyncio.run(outcome)
    return outcome


def _asked(arguments: dict[str, Any], request: payload.Request) -> tensors.Tensors:
    told = arguments.get("payload")
    return told if isinstance(told, tensors.Tensors) else request.asked()


class Unencoded:
    """What a method returned, where the permit goes back before it is encoded."""

    __slots__ = ("arguments", "result")

    def __init__(self, result: Any, arguments: dict[str, Any]) -> None:
        self.result = result
        self.arguments = arguments


def split(result: Any) -> tuple[Any, Any]:
    """The result itself, and what the method wants to run after the reply, or None."""
    if type(result) is tuple and len(result) == 2 and callable(result[1]):
        return result[0], result[1]
    return result, None


def _hook_arguments(
    names: Sequence[str], response: Any, arguments: dict[str, Any], request: payload.Request
) -> dict[str, Any]:
    """For a hook that runs after the predictor. The payload is the one that the predictor got."""
    given = dict(arguments, response=response)
    if "payload" in names and "payload" not in given:
        given["payload"] = request.payload()
    given.setdefault("query_params", request.query_params)
    given.setdefault("headers", request.headers)
    return {name: given.get(name) for name in names}


def refusal(status: int, text: str, reason: str, request_id: str) -> encode.Encoded:
    answer = encode.Encoded(status, encode.JSON, encode.to_json({"error": text, "request_id": request_id}))
    answer.reason = reason
    return answer


def is_stream(value: Any) -> bool:
    """Generators stream; lists, maps and files do not."""
    return (hasattr(value, "__next__") and hasattr(value, "send")) or (
        hasattr(value, "__anext__") and hasattr(value, "asend")
    )


def fields(answer: encode.Encoded) -> Sequence[str]:
    """The strings of a response head."""
    found = (answer.content_type, answer.reason, answer.prediction or "")
    if not answer.headers:
        return found
    return [*found, *itertools.chain.from_iterable(answer.headers)]
