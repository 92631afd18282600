"""What a predictor answers, read: a str, a dict, several of them, or OpenAI's own shapes become pieces of choices."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from runtime.openai.problems import Broken

# Of a dict that is no OpenAI response: what goes into the message or the delta as it is.
_MESSAGE_FIELDS = ("role", "tool_calls", "function_call", "refusal", "reasoning_content", "reasoning", "audio")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


@dataclasses.dataclass(slots=True)
class Piece:
    """A part of one choice, or all of it. `fields` are those of the message beside its content."""

    index: int = 0
    text: str = ""
    finish_reason: str | None = None
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    logprobs: Any = None


@dataclasses.dataclass(slots=True)
class Read:
    """Pieces, and what was said of tokens."""

    pieces: list[Piece]
    usage: dict[str, Any] | None = None


def read(value: Any) -> Read:
    """Raises Broken."""
    if value is None:
        return Read([])
    if isinstance(value, str):
        return Read([Piece(text=value)])
    if isinstance(value, list):
        return _read_list(value)
    if isinstance(value, dict):
        return _read_choices(value) if "choices" in value else _read_dict(value)
    raise Broken(f"a piece of text must be a str or a dict, not {value!r:.200}")


def _read_list(values: list[Any]) -> Read:
    """One choice each."""
    found = Read([])
    for index, value in enumerate(values):
        if isinstance(value, list):
            raise Broken("a list of choices may hold str and dict, and no list")
        one = read(value)
        if not (isinstance(value, dict) and ("index" in value or "choices" in value)):
            for piece in one.pieces:
                piece.index = index
        found.pieces += one.pieces
        found.usage = add(found.usage, one.usage)
    return found


def _read_dict(value: Mapping[str, Any]) -> Read:
    counts = {name: value[name] for name in _COUNTS if name in value}
    usage = _usage(value.get("usage") or counts)
    known = ("index", "text", "content", "message", "finish_reason", "logprobs", *_MESSAGE_FIELDS)
    if not any(name in value for name in known):
        if usage is None:
            raise Broken(f"a dict must have `text`, `message`, `finish_reason` or `usage`; this has {sorted(value)}")
        return Read([], usage)
    return Read([_piece(value)], usage)


def _piece(value: Mapping[str, Any]) -> Piece:
    message = value.get("message", value.get("delta")) or {}
    if not isinstance(message, dict):
        raise Broken("`message` must be a dict")
    text = value.get("text", value.get("content", message.get("content")))
    index = value.get("index", 0)
    if not isinstance(index, int) or not (text is None or isinstance(text, str)):
        raise Broken("`index` must be an int and `text` a str")
    fields = {name: item for name, item in message.items() if name not in ("content", "role")}
    fields |= {name: value[name] for name in _MESSAGE_FIELDS if name in value and name != "role"}
    reason = value.get("finish_reason")
    return Piece(index, text or "", str(reason) if reason else None, fields, value.get("logprobs"))


def _read_choices(value: Mapping[str, Any]) -> Read:
    choices = value["choices"]
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise Broken("`choices` must be a list of dicts")
    return Read([_piece(choice) for choice in choices], _usage(value.get("usage")))


def _usage(told: Any) -> dict[str, Any] | None:
    if not isinstance(told, dict) or not told:
        return None
    usage = {"prompt_tokens": told.get("prompt_tokens", 0), "completion_tokens": told.get("completion_tokens", 0)}
    if not all(isinstance(count, int) for count in usage.values()):
        raise Broken("counts of tokens must be int")
    return {**usage, "total_tokens": sum(usage.values()), **told}


def add(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """The usage of two calls together."""
    if one is None or other is None:
        return other if one is None else one
    return {**one, **{name: one.get(name, 0) + other.get(name, 0) for name in _COUNTS}}


def latest(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """Within one call the counts are of all so far, and what is said last holds."""
    return other if other is not None else one
