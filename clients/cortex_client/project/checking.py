"""Walks one API of the document along the table and collects everything: values, positions, notices, problems."""

import dataclasses
import difflib
from typing import Any

from cortex_client.project import convert, fields
from cortex_client.project.errors import Position, Problem
from cortex_client.project.schema import NESTED, Effect, Field, Form
from cortex_client.project.values import Entry, Value


@dataclasses.dataclass
class Findings:
    """What one API of the document says. `places` maps a target or canonical path to the user's path and position."""

    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    places: dict[str, tuple[str, Position]] = dataclasses.field(default_factory=dict)
    notices: list[str] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)


def check(value: Value) -> Findings:
    findings = Findings()
    _Walk(findings).mapping(value, "", "")
    return findings


class _Walk:
    def __init__(self, findings: Findings) -> None:
        self._found = findings

    def mapping(self, value: Value, path: str, written: str, base: str = "") -> dict[str, Any]:
        """Checks the keys under `path`; `written` is the same as the user spelled it. Returns what they hold, by
        canonical key. `base` is the target that is set by the mapping as a whole, empty when its fields have their own.
        """
        assert isinstance(value.data, dict)
        known = fields.TABLE.children(path)
        held: dict[str, Any] = {}
        present: set[str] = set()
        for key, entry in value.data.items():
            canonical = fields.SECTION_ALIASES.get(key, key) if not path else key
            spelled = f"{written}.{key}" if written else key
            if canonical not in known:
                self._unknown(key, spelled, entry, path, sorted(known))
            elif canonical in present:
                self._problem(spelled, entry.key_position, f"`{canonical}` is given twice under two names")
            else:
                present.add(canonical)
                found = self._field(known[canonical], entry, spelled, base)
                if found is not None:
                    held[canonical] = found
        for key in sorted(known.keys() - present):
            if known[key].required and not _excused(known[key], value):
                self._missing(known[key], value.position, f"{written}.{key}" if written else key)
        return held

    def _field(self, field: Field, entry: Entry, written: str, base: str) -> Any:
        """The converted value, None when there is none or a wrong one."""
        value = entry.value
        self._found.places.setdefault(field.path, (written, value.position))
        if base:
            self._found.places[f"{base}.{field.key}"] = (written, value.position)
        if value.data is None:
            if field.required:
                self._missing(field, entry.key_position, written)
            return None
        # `gpu: 0` asks for nothing but the default, which holds.
        if field.effect is not Effect.IN_EFFECT and str(value.text or value.data) != field.default:
            self._found.notices.append(f"{written}: {field.reason}")
        if field.form in NESTED:
            result = self._nested(field, value, written, f"{base}.{field.key}" if base else field.target)
        else:
            result = self._converted(field, value, written)
        if result is not None and field.target and not base:
            self._assign(field, result, value.position, written)
        return result

    def _converted(self, field: Field, value: Value, written: str) -> Any:
        try:
            result = convert.convert(field, value)
        except convert.WrongEntryError as error:
            found = f"expected {error}, found {error.entry.value.describe()}"
            dot = "" if error.key.startswith("[") else "."
            self._problem(f"{written}{dot}{error.key}", error.entry.key_position, found)
            return None
        except ValueError as error:
            self._problem(written, value.position, f"expected {error}, found {value.describe()}")
            return None
        if field.choices and not self._chosen(field, result, value.position, written):
            return None
        return result

    def _nested(self, field: Field, value: Value, written: str, base: str) -> Any:
        if isinstance(value.data, dict) and field.form is not Form.OBJECT_LIST:
            return self.mapping(value, field.path, written, base)
        if isinstance(value.data, list) and field.form is not Form.OBJECT:
            # The list form of a mapping is its `paths`.
            listed = f"{base}.paths" if field.form is Form.OBJECT_OR_LIST else base
            return self._items(field, value.data, written, listed)
        self._problem(written, value.position, f"expected a {field.form.value}, found {value.describe()}")
        return None

    def _items(self, field: Field, items: list[Value], written: str, base: str) -> list[Any]:
        held = []
        for number, item in enumerate(items):
            spelled, target = f"{written}[{number}]", f"{base}[{number}]"
            if isinstance(item.data, dict):
                self._found.places[target] = (spelled, item.position)
                held.append(self.mapping(item, f"{field.path}[]", spelled, target))
            else:
                self._problem(spelled, item.position, f"expected a mapping, found {item.describe()}")
        return held

    def _assign(self, field: Field, result: Any, position: Position, written: str) -> None:
        if field.target in self._found.settings:
            other, _ = self._found.places[field.target]
            self._problem(written, position, f"says the same as `{other}`", "keep one of them")
            return
        self._found.settings[field.target] = result
        self._found.places[field.target] = (written, position)

    def _chosen(self, field: Field, result: Any, position: Position, written: str) -> bool:
        if result in field.choices:
            return True
        if result in field.unavailable:
            usable = field.choices[0]
            self._problem(written, position, f"`{result}` is known, but not available yet", f"`{usable}` is")
        else:
            near = suggest(str(result), [*field.choices, *field.unavailable])
            self._problem(written, position, f"expected one of {', '.join(field.choices)}; found {result!r}", near)
        return False

    def _unknown(self, key: str, written: str, entry: Entry, path: str, known: list[str]) -> None:
        hint = "" if path else fields.ELSEWHERE.get(key, "")
        homes = fields.TABLE.homes(key)
        hint = hint or suggest(key, known) or (f"did you mean `{homes[0]}`?" if homes else "")
        if not hint and key in fields.ELSEWHERE:
            hint = fields.ELSEWHERE[key]
        here = f"under `{path}`" if path else "here"
        hint = hint or f"known {here}: {', '.join(known)}"
        self._problem(written, entry.key_position, "no such field", hint)

    def _missing(self, field: Field, position: Position, written: str) -> None:
        choices = f"one of {', '.join(field.choices)}" if field.choices else field.about
        self._problem(written, position, "is required", choices)

    def _problem(self, written: str, position: Position, message: str, hint: str = "") -> None:
        self._found.problems.append(Problem(written, position, message, hint))


def _excused(field: Field, siblings: Value) -> bool:
    """Whether a sibling's value makes a required field needless."""
    sibling, value = field.unless
    entry = siblings.data.get(sibling) if isinstance(siblings.data, dict) else None
    return entry is not None and entry.value.data == value


def suggest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:
        lowered = {name.lower(): name for name in known}
        near = [lowered[name] for name in difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)]
    return f"did you mean `{near[0]}`?" if near else ""
