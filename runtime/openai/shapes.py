"""OpenAI's responses, built from pieces."""

import array
import base64
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.openai.pieces import Piece
from runtime.openai.problems import Broken


class Chat:
    """`/v1/chat/completions`."""

    prefix = "chatcmpl-"
    whole = "chat.completion"
    part = "chat.completion.chunk"

    @staticmethod
    def choice(index: int, text: str, fields: Mapping[str, Any], finish_reason: str, logprobs: Any) -> dict[str, Any]:
        content = None if not text and ("tool_calls" in fields or "function_call" in fields) else text
        message = {"role": "assistant", "content": content, "refusal": None, **fields}
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish_reason}

    @staticmethod
    def chunk(piece: Piece, *, first: bool) -> dict[str, Any]:
        delta: dict[str, Any] = {"role": "assistant"} if first else {}
        if piece.text or (first and not piece.fields):
            delta["content"] = piece.text
        delta |= piece.fields
        if isinstance(delta.get("tool_calls"), list):
            delta["tool_calls"] = [{"index": at, **call} for at, call in enumerate(delta["tool_calls"])]
        return {
            "index": piece.index, "delta": delta, "logprobs": piece.logprobs, "finish_reason": piece.finish_reason,
        }  # fmt: skip


class Completion:
    """`/v1/completions`."""

    prefix = "cmpl-"
    whole = part = "text_completion"

    @staticmethod
    def choice(index: int, text: str, fields: Mapping[str, Any], finish_reason: str, logprobs: Any) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}

    @staticmethod
    def chunk(piece: Piece, *, first: bool) -> dict[str, Any]:
        return {
            "index": piece.index, "text": piece.text, "logprobs": piece.logprobs, "finish_reason": piece.finish_reason,
        }  # fmt: skip


Shape = type[Chat] | type[Completion]


class Choices:
    """Pieces on their way to a whole response."""

    def __init__(self) -> None:
        self._all: dict[int, Piece] = {}

    def add(self, piece: Piece) -> None:
        held = self._all.setdefault(piece.index, Piece(piece.index))
        held.text += piece.text
        held.finish_reason = piece.finish_reason or held.finish_reason
        held.logprobs = _joined(held.logprobs, piece.logprobs)
        for name, value in piece.fields.items():
            held.fields[name] = _joined(held.fields.get(name), value)

    def build(self, shape: Shape) -> list[dict[str, Any]]:
        return [
            shape.choice(index, piece.text, piece.fields, piece.finish_reason or "stop", piece.logprobs)
            for index, piece in sorted((self._all or {0: Piece()}).items())
        ]


def _joined(old: Any, new: Any) -> Any:
    """Parts of one field of a stream: text and lists grow, of anything else the last is right."""
    if (isinstance(old, str) and isinstance(new, str)) or (isinstance(old, list) and isinstance(new, list)):
        return old + new  # type: ignore[operator]
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {name: _joined(old.get(name), value) for name, value in new.items()}
    return old if new is None else new


def embeddings(value: Any, model: str, inputs: int, *, as_base64: bool) -> dict[str, Any]:
    """`value`: vectors, or a dict with `embeddings` and counts, or OpenAI's own response. Raises Broken."""
    if isinstance(value, dict) and "data" in value:
        return {"object": "list", "model": model, **value}
    told: dict[str, Any] = value if isinstance(value, dict) else {"embeddings": value}
    vectors = told.get("embeddings")
    if not isinstance(vectors, list) or not vectors:
        raise Broken("an embedding predictor returns a list of vectors, or a dict with `embeddings`")
    if not isinstance(vectors[0], list):
        vectors = [vectors]
    if len(vectors) != inputs:
        raise Broken(f"the predictor returned {len(vectors)} vectors for {inputs} inputs")
    usage = told.get("usage") or {}
    tokens = usage.get("prompt_tokens", told.get("prompt_tokens", 0))
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if as_base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, **usage}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _base64(vector: Sequence[float]) -> str:
    """Little-endian float32, as the official client unpacks it."""
    try:
        packed = array.array("f", vector)
    except (TypeError, OverflowError) as error:
        raise Broken(f"a vector must hold numbers: {error}") from None
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode()


def models(names: Sequence[str], created: int) -> list[dict[str, Any]]:
    return [{"id": name, "object": "model", "created": created, "owned_by": "cortex"} for name in names]
