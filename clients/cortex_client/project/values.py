"""A YAML document as a tree that remembers where everything stands.

Strict on purpose, because a deploy file is a contract: no custom tags, no duplicate keys, string keys only, a bounded
size, depth and number of nodes (aliases included, so that a few lines cannot grow into gigabytes).
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Union

from cortex_client.project import errors
from cortex_client.project.errors import Position, Problem

MOST_BYTES = 1024 * 1024
_MOST_NODES = 100_000
_DEEPEST = 64
_CORE = "tag:yaml.org,2002:"
_SCALARS = ("null", "bool", "int", "float", "str", "timestamp", "value")
_NOWHERE = Position()

Data = Union[dict[str, "Entry"], list["Value"], str, int, float, bool, None]  # noqa: UP007 - names come later


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """`text` is the scalar as written, so that `3.10` in a version does not become 3.1."""

    data: Data
    position: Position = _NOWHERE
    text: str = ""
    end_line: int = 0

    def plain(self) -> Any:
        """The same without positions."""
        if isinstance(self.data, dict):
            return {key: entry.value.plain() for key, entry in self.data.items()}
        if isinstance(self.data, list):
            return [item.plain() for item in self.data]
        return self.data

    def describe(self) -> str:
        """What stands here, in few words, for an error."""
        if isinstance(self.data, dict):
            return "a mapping"
        if isinstance(self.data, list):
            return "a list"
        if self.data is None:
            return "null" if self.text else "nothing"
        kind = {bool: "the boolean", int: "the number", float: "the number"}.get(type(self.data), "the text")
        text = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return f"{kind} {text!r}" if kind == "the text" else f"{kind} {text}"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A value under a key of a mapping."""

    key_position: Position
    value: Value


def from_yaml(text: str, file: str) -> Value:
    """Raises ProjectInvalid."""
    from ruamel import yaml

    if len(text.encode()) > MOST_BYTES:
        raise _invalid(file, Position(1, 1), "the file is larger than 1 MiB")
    try:
        root = yaml.YAML(typ="safe", pure=True).compose(text)
    except yaml.error.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        raise _invalid(file, place, f"this is not YAML: {error.problem or error.context}") from None
    except RecursionError:
        raise _invalid(file, Position(1, 1), f"it is nested too deep; {_DEEPEST} levels are the most") from None
    except yaml.error.YAMLError as error:
        raise _invalid(file, Position(1, 1), f"this is not YAML: {error}") from None
    return _Reader(file).read(root, 0) if root is not None else Value(None, Position(1, 1))


def from_python(data: Any) -> Value:
    """A document that a program made: the same tree, without places."""
    if isinstance(data, Mapping):
        return Value({str(key): Entry(Position(), from_python(value)) for key, value in data.items()})
    if isinstance(data, list | tuple):
        return Value([from_python(item) for item in data])
    if data is None or isinstance(data, str | int | float | bool):
        return Value(data, text=str(data).lower() if isinstance(data, bool) else str(data))
    raise TypeError(f"{type(data).__name__} cannot be part of an API's description; use JSON types")


def _invalid(file: str, position: Position, message: str, hint: str = "") -> errors.ProjectInvalid:
    return errors.ProjectInvalid(file, [Problem("", position, message, hint)])


class _Reader:
    """Nodes to values."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._seen = 0

    def read(self, node: Any, depth: int) -> Value:
        self._seen += 1
        place = _place(node)
        if self._seen > _MOST_NODES or depth > _DEEPEST:
            raise _invalid(self._file, place, "the document is too large once its aliases are followed, or too deep")
        tag = str(node.tag)
        if not tag.startswith(_CORE):
            raise _invalid(self._file, place, f"the tag {tag} is not allowed here", "write plain YAML, without `!tags`")
        kind = tag.removeprefix(_CORE)
        if node.id == "mapping" and kind == "map":
            return Value(self._mapping(node, depth), place, end_line=node.end_mark.line)
        if node.id == "sequence" and kind == "seq":
            return Value([self.read(item, depth + 1) for item in node.value], place, end_line=node.end_mark.line)
        if node.id == "scalar" and kind in _SCALARS:
            return Value(self._scalar(kind, node.value, place), place, node.value, node.end_mark.line)
        raise _invalid(self._file, place, f"the tag !!{kind} is not allowed here", "write plain YAML, without `!tags`")

    def _mapping(self, node: Any, depth: int) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            place = _place(key_node)
            if str(key_node.tag) == _CORE + "merge":
                merged = {**self._merged(value_node, depth), **merged}
                continue
            if key_node.id != "scalar":
                raise _invalid(self._file, place, "a key has to be text")
            if key_node.value in found:
                first = found[key_node.value].key_position
                raise _invalid(self._file, place, f"`{key_node.value}` stands here twice; first in line {first.line}")
            found[key_node.value] = Entry(place, self.read(value_node, depth + 1))
        return {**merged, **found}

    def _merged(self, node: Any, depth: int) -> dict[str, Entry]:
        sources = node.value if node.id == "sequence" else [node]
        merged: dict[str, Entry] = {}
        for source in sources:
            value = self.read(source, depth + 1)
            if not isinstance(value.data, dict):
                raise _invalid(self._file, _place(source), "`<<` takes a mapping")
            merged = {**value.data, **merged}
        return merged

    def _scalar(self, kind: str, text: str, place: Position) -> str | int | float | bool | None:
        try:
            match kind:
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return _integer(text)
                case "float":
                    return _number(text)
                case "str" | "timestamp" | "value":
                    return text
        except ValueError:
            pass
        raise _invalid(self._file, place, f"{text!r} is not a plain {kind}")


def _integer(text: str) -> int:
    bare = text.replace("_", "")
    return int(bare, 0) if bare.lstrip("+-")[:2] in ("0x", "0o", "0b") else int(bare, 10)


def _number(text: str) -> float:
    special = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}
    return special[text.lower()] if text.lower() in special else float(text.replace("_", ""))


def _place(node: Any) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
