"""Settings from environment variables, read once at the start: `load(Settings, os.environ)`.

A settings class is a frozen dataclass. A field `listen: str` is read from CORTEX_LISTEN; a field without a default must
be set. Paths, numbers, booleans and strings are understood; anything else is a mistake of ours.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class SettingsError(Exception):
    """A variable is missing or does not parse; the message names it."""


def load(cls: type[T], environ: Mapping[str, str], prefix: str = "CORTEX_") -> T:
    """Builds `cls` from `environ`. Raises SettingsError naming every variable that is wrong."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # T is always a dataclass
        variable = prefix + field.name.upper()
        text = environ.get(variable)
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if text is None:
            if required:
                problems.append(f"{variable} is not set")
            continue
        try:
            values[field.name] = _parse(str(field.type), text)
        except ValueError as error:
            problems.append(f"{variable}={text!r}: {error}")
    if problems:
        raise SettingsError("; ".join(problems))
    return cls(**values)


def load_or_exit(cls: type[T], environ: Mapping[str, str], program: str) -> T:
    """As `load`, for the first line of a program: what is wrong is told in one line, and the program ends."""
    try:
        return load(cls, environ)
    except SettingsError as error:
        sys.exit(f"{program}: {error}")


def _parse(kind: str, text: str) -> Any:
    if "bool" in kind:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError("expected true or false")
        return text.lower() in _TRUE
    if "int" in kind:
        return int(text)
    if "float" in kind:
        return float(text)
    if "Path" in kind:
        return pathlib.Path(text).expanduser()
    return text
