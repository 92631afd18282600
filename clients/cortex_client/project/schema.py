"""How a field of cortex.yaml is described. The table itself is in `fields.py`; everything else reads it.

The loader, the JSON Schema for editors, the reference page and the "not yet in effect" notices all come from this one
table, so none of them can disagree with another.
"""

import dataclasses
import enum


class Form(enum.Enum):
    """What may stand in a field."""

    OBJECT = "mapping"
    OBJECT_LIST = "list of mappings"
    OBJECT_OR_LIST = "mapping or list of mappings"
    TEXT = "text"
    LITERAL = "text as written"
    LOCATION = "path in the project, absolute path, file:// or s3://"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "true or false"
    DURATION = "duration"
    CPU = "cores"
    BYTES = "bytes"
    COUNT_OR_PERCENT = "integer or percentage"
    ANY_MAP = "mapping of anything"
    TEXT_MAP = "mapping of text"
    TEXT_LIST = "list of text"
    INTEGER_LIST = "list of integers"


NESTED = (Form.OBJECT, Form.OBJECT_LIST, Form.OBJECT_OR_LIST)


class Effect(enum.Enum):
    """Whether a field does something."""

    IN_EFFECT = "in effect"
    NOT_YET = "not yet in effect"
    GONE = "no longer needed"


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """`path` is the canonical spelling, with `[]` for the items of a list. `target` is the field of ApiSpec it sets.

    `reason` says why a field has no effect; it covers the fields below it too. `unavailable` are choices of the
    ancestor that are known and refused. `positive` fields have no presence on the wire: zero would silently mean the
    default there, so it is refused here. `unless` is a sibling and its value with which a required field may be left
    out.
    """

    path: str
    form: Form
    about: str
    target: str = ""
    era: str = "0.14-0.35"
    default: str = ""
    choices: tuple[str, ...] = ()
    unavailable: tuple[str, ...] = ()
    effect: Effect = Effect.IN_EFFECT
    reason: str = ""
    required: bool = False
    positive: bool = False
    unless: tuple[str, str] = ("", "")

    @property
    def key(self) -> str:
        return self.path.rpartition(".")[2].removesuffix("[]")

    @property
    def parent(self) -> str:
        return self.path.rpartition(".")[0]


class Table:
    """The fields by path."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self._by_path = {field.path: field for field in fields}
        self._children: dict[str, dict[str, Field]] = {}
        for field in fields:
            self._children.setdefault(field.parent, {})[field.key] = field
        assert len(self._by_path) == len(fields), "a path stands in the table twice"

    def children(self, path: str) -> dict[str, Field]:
        """The fields directly under `path` ("" for the top), by key."""
        return self._children.get(path, {})

    def homes(self, key: str) -> list[str]:
        """Where a key could belong, for suggestions; old places last."""
        found = [field for field in self.fields if field.key == key and "[]" not in field.path]
        return [field.path for field in sorted(found, key=lambda field: field.target not in ("", field.path))]
