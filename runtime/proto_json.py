"""Messages in protobuf's JSON form, read without protobuf: its import would be a fifth of a replica's start.

Reads what `json_format.MessageToJson` writes: lowerCamelCase names, enums by name, 64-bit numbers and durations as
text, fields with their default left out. Fields that nobody asks for are passed over.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn


class ParseError(ValueError):
    """A field does not hold what its type allows; the text names it."""


class Message:
    """The fields of one message, each read as the type that the caller knows it has. All raise ParseError."""

    def __init__(self, fields: Any, path: str = "") -> None:
        if not isinstance(fields, dict):
            raise ParseError(f"{path or 'the document'} must be an object, and not {fields!r:.100}")
        self._fields = fields
        self._path = path

    def __contains__(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def text(self, name: str) -> str:
        return self._text(name, self._get(name, ""))

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._text(name, item) for item in self._list(name))

    def text_map(self, name: str) -> dict[str, str]:
        return {key: self._text(f"{name}.{key}", value) for key, value in self.struct(name).items()}

    def flag(self, name: str) -> bool:
        value = self._get(name, False)
        return value if isinstance(value, bool) else self._refuse(name, "true or false", value)

    def whole(self, name: str) -> int:
        return self._whole(name, self._get(name, 0))

    def wholes(self, name: str) -> list[int]:
        return [self._whole(name, item) for item in self._list(name)]

    def seconds(self, name: str, default: float) -> float:
        """A duration, `default` where there is none."""
        if name not in self:
            return default
        text = self.text(name)
        try:
            return float(text.removesuffix("s"))
        except ValueError:
            return self._refuse(name, "a duration such as 1.5s", text)

    def choice(self, name: str, known: Mapping[str, str], default: str) -> str:
        """What `known` calls the enum's value; `default` for those it does not name."""
        return known.get(self.text(name), default)

    def struct(self, name: str) -> dict[str, Any]:
        """A Struct as it is."""
        return self.message(name)._fields

    def message(self, name: str) -> "Message":
        """Empty where there is none."""
        return Message(self._get(name, {}), self._below(name))

    def messages(self, name: str) -> "list[Message]":
        return [Message(item, f"{self._below(name)}[{index}]") for index, item in enumerate(self._list(name))]

    def _get(self, name: str, default: Any) -> Any:
        value = self._fields.get(name)
        return default if value is None else value

    def _list(self, name: str) -> list[Any]:
        value = self._get(name, [])
        return value if isinstance(value, list) else self._refuse(name, "a list", value)

    def _text(self, name: str, value: Any) -> str:
        return value if isinstance(value, str) else self._refuse(name, "text", value)

    def _whole(self, name: str, value: Any) -> int:
        try:
            if isinstance(value, str) or type(value) is int:
                return int(value)
        except ValueError:
            pass
        return self._refuse(name, "a whole number", value)

    def _refuse(self, name: str, expected: str, value: Any) -> NoReturn:
        raise ParseError(f"{self._below(name)} must be {expected}, and not {value!r:.100}")

    def _below(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def loads(text: str) -> Message:
    """Raises ParseError."""
    try:
        return Message(json.loads(text, parse_float=number))
    except json.JSONDecodeError as error:
        raise ParseError(f"not JSON: {error}") from None


def number(text: str) -> int | float:
    """A JSON number as its writer meant it: protobuf's Struct knows doubles only, and may write 5 as 5.0."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
