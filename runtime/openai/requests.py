"""What callers of `/v1` send, checked as far as the platform reads it; the rest is the predictor's to judge."""

import dataclasses
import json
from collections.abc import Collection
from typing import Any

from runtime.inference import InferError
from runtime.oip import strict_json
from runtime.openai.problems import Problem

_MAX_PROMPTS = 1024
_MAX_CHOICES = 128
# Of the fields beside the prompts, which every call of a request carries again.
_MAX_COPIED_BYTES = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """`calls` are the payloads of the predictor's calls that it takes."""

    calls: list[bytes]
    model: str
    stream: bool = False
    include_usage: bool = False
    choices: int = 1  # of one prompt
    base64: bool = False
    inputs: int = 0  # of an embedding


def parse_chat(body: bytes, models: Collection[str]) -> Request:
    """Raises Problem."""
    payload, model = _parse(body, models)
    messages = payload.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Problem(400, "`messages` must be a list of at least one message", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Problem(400, "a message must be an object with a `role`", param=f"messages[{index}]")
    return _generation(payload, model, [body])


def parse_completion(body: bytes, models: Collection[str]) -> Request:
    """Raises Problem. Several prompts are as many calls."""
    payload, model = _parse(body, models)
    prompt = payload.get("prompt")
    if not (isinstance(prompt, str) or (isinstance(prompt, list) and prompt)):
        raise Problem(400, "`prompt` must be a string, or a list of strings or of tokens", param="prompt")
    if not isinstance(prompt, list) or _is_tokens(prompt):
        return _generation(payload, model, [body])
    if len(prompt) > _MAX_PROMPTS:
        raise Problem(400, f"`prompt` may hold at most {_MAX_PROMPTS} prompts", param="prompt")
    for index, one in enumerate(prompt):
        if not isinstance(one, str) and not _is_tokens(one):
            raise Problem(400, "a prompt must be a string or a list of tokens", param=f"prompt[{index}]")
    if len(json.dumps({**payload, "prompt": ""})) * len(prompt) > _MAX_COPIED_BYTES:
        raise Problem(413, "too many prompts for a request with such large other fields", param="prompt")
    return _generation(payload, model, [json.dumps({**payload, "prompt": one}).encode() for one in prompt])


def parse_embedding(body: bytes, models: Collection[str]) -> Request:
    """Raises Problem. The predictor always sees `input` as a list."""
    payload, model = _parse(body, models)
    told = payload.get("input")
    if not (isinstance(told, (str, list)) and told):
        raise Problem(400, "`input` must be a string, or a list of strings or of tokens", param="input")
    inputs = [told] if isinstance(told, str) or _is_tokens(told) else told
    for index, one in enumerate(inputs):
        if not (isinstance(one, str) or _is_tokens(one)):
            raise Problem(400, "an input must be a string or a list of tokens", param=f"input[{index}]")
    form = payload.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise Problem(400, "`encoding_format` must be `float` or `base64`", param="encoding_format")
    call = json.dumps({**payload, "input": inputs}).encode()
    return Request([call], model, base64=form == "base64", inputs=len(inputs))


def _parse(body: bytes, models: Collection[str]) -> tuple[dict[str, Any], str]:
    try:
        payload = json.loads(strict_json.check(body))
    except InferError as error:
        large = f"the request body is larger than {strict_json.MAX_BYTES} bytes"
        raise Problem(error.status, large if error.status == 413 else str(error)) from None
    except (ValueError, RecursionError):
        raise Problem(400, "the request body is not valid JSON") from None
    if not isinstance(payload, dict):
        raise Problem(400, "the request body must be a JSON object")
    model = payload.get("model")
    if not isinstance(model, str) or not model:
        raise Problem(400, "you must provide a `model`; GET /v1/models lists them", param="model")
    check_model(model, models)
    return payload, model


def check_model(model: str, models: Collection[str]) -> None:
    """Raises Problem when nobody declared it."""
    if model not in models:
        text = f"the model `{model[:200]}` does not exist; GET /v1/models lists those that do"
        raise Problem(404, text, param="model", code="model_not_found")


def _generation(payload: dict[str, Any], model: str, calls: list[bytes]) -> Request:
    stream, choices = payload.get("stream"), payload.get("n")
    if not isinstance(stream, bool) and stream is not None:
        raise Problem(400, "`stream` must be true or false", param="stream")
    if choices is not None and (isinstance(choices, bool) or not isinstance(choices, int)):
        raise Problem(400, "`n` must be a whole number", param="n")
    if choices is not None and not 1 <= choices <= _MAX_CHOICES:
        raise Problem(400, f"`n` must be between 1 and {_MAX_CHOICES}", param="n")
    options = payload.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise Problem(400, "`stream_options` must be an object", param="stream_options")
    if options is not None and not stream:
        raise Problem(400, "`stream_options` may only be set together with `stream: true`", param="stream_options")
    usage = bool(options and options.get("include_usage"))
    return Request(calls, model, stream=bool(stream), include_usage=usage, choices=choices or 1)


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)
