"""What is published about cortex.yaml: a JSON Schema for editors and a reference page, both made from the table.

`python -m cortex_client.project.publish docs` writes them; a test keeps them in step.
"""

import json
import pathlib
import sys
from typing import Any

from cortex_client.project import fields
from cortex_client.project.schema import NESTED, Effect, Field, Form

SCHEMA_FILE = "schemas/cortex.schema.json"
REFERENCE_FILE = "reference/cortex-yaml.md"
_SCHEMA_URL = "https://cortex.dev/schemas/cortex.schema.json"
_NUMBER_OR_TEXT = ["integer", "number", "string"]
_DURATION = r"^(0|(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+)$"

_TYPES: dict[Form, dict[str, Any]] = {
    Form.TEXT: {"type": "string"},
    Form.LOCATION: {"type": "string"},
    Form.LITERAL: {"type": ["string", "number"]},
    Form.INTEGER: {"type": "integer"},
    Form.NUMBER: {"type": "number"},
    Form.BOOLEAN: {"type": "boolean"},
    Form.DURATION: {"type": "string", "pattern": _DURATION},
    Form.CPU: {"type": _NUMBER_OR_TEXT, "pattern": r"^\d+(\.\d+)?m?$"},
    Form.BYTES: {"type": ["integer", "string"], "pattern": r"^\d+(\.\d+)?([kKMGTP]|[KMGTP]i)?$"},
    Form.COUNT_OR_PERCENT: {"type": ["integer", "string"], "pattern": r"^\d+%?$"},
    Form.ANY_MAP: {"type": "object"},
    Form.TEXT_MAP: {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    Form.TEXT_LIST: {"type": "array", "items": {"type": "string"}},
    Form.INTEGER_LIST: {"type": "array", "items": {"type": "integer"}},
}


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    api = _object("")
    for alias, section in fields.SECTION_ALIASES.items():
        api["properties"][alias] = {**api["properties"][section], "description": f"Old name of `{section}`."}
    required = [name for name in api["required"] if name not in fields.SECTION_ALIASES.values()]
    api["required"] = required
    api["oneOf"] = [{"required": ["predictor"]}, {"required": ["handler"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _SCHEMA_URL,
        "title": "cortex.yaml",
        "description": "One API, or a list of APIs.",
        "oneOf": [{"$ref": "#/$defs/api"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/api"}}],
        "$defs": {"api": api},
    }


def _object(path: str) -> dict[str, Any]:
    children = fields.TABLE.children(path)
    made: dict[str, Any] = {
        "type": "object",
        "properties": {key: _property(field) for key, field in children.items()},
        "additionalProperties": False,
    }
    required = [key for key, field in children.items() if field.required and not field.unless[0]]
    if required:
        made["required"] = required
    for key, field in children.items():
        if field.unless[0]:
            sibling, value = field.unless
            made |= {"if": {"properties": {sibling: {"const": value}}}, "else": {"required": [key]}}
    return made


def _property(field: Field) -> dict[str, Any]:
    made: dict[str, Any] = {"description": _about(field)}
    if field.form in NESTED:
        listed = {"type": "array", "items": _object(f"{field.path}[]")}
        by_form: dict[Form, dict[str, Any]] = {
            Form.OBJECT: _object(field.path),
            Form.OBJECT_LIST: listed,
            Form.OBJECT_OR_LIST: {"oneOf": [_object(field.path), listed]},
        }
        made.update(by_form[field.form])
    else:
        made.update(_TYPES[field.form])
    if field.choices:
        made["enum"] = list(field.choices)
    if field.effect is Effect.GONE:
        made["deprecated"] = True
    return made


def _about(field: Field) -> str:
    parts = [field.about]
    if field.default:
        parts.append(f"Default: {field.default}.")
    if field.effect is not Effect.IN_EFFECT:
        parts.append(f"{field.effect.value.capitalize()}: {field.reason}.")
    return " ".join(parts)


def reference() -> str:
    """The reference page."""
    lines = [
        "# cortex.yaml",
        "",
        "<!-- Made by `python -m cortex_client.project.publish docs` from clients/cortex_client/project/fields.py. -->",
        "",
        "A document is one API or a list of APIs; its folder is the project. Files of the Predictor era (0.14 to 0.35)",
        "deploy unchanged: `handler` is `predictor`, `tracker` is `monitoring`, and old places of fields still work.",
        "Unknown fields, wrong types and duplicate keys are errors with file, line and column. Bounds are checked by",
        "the platform and told with the same places. Durations: `100ms`, `60s`, `1m30s`. Sizes: `512Mi`, `1Gi`.",
        "Cores: `200m`, `0.5`, `2`. Fields that are accepted and have no effect are told at every deploy and kept.",
        "",
        "For completion and checks in an editor, begin the file with:",
        "",
        "```yaml",
        f"# yaml-language-server: $schema={_SCHEMA_URL}",
        "```",
        "",
    ]
    for title, chosen in _groups():
        lines += [f"## {title}", "", "| Field | Type | Default | Era | Meaning |", "|---|---|---|---|---|"]
        lines += [_row(field) for field in chosen]
        lines.append("")
    return "\n".join([*lines, _REFUSED])


def _groups() -> list[tuple[str, list[Field]]]:
    titles = {"": "An API"}
    grouped: dict[str, list[Field]] = {}
    for field in fields.TABLE.fields:
        section = "" if "." not in field.path else field.path.partition(".")[0]
        if section or field.form not in NESTED:
            grouped.setdefault(titles.get(section, f"`{section}`"), []).append(field)
    return list(grouped.items())


def _row(field: Field) -> str:
    kind = ", ".join(f"`{choice}`" for choice in field.choices) or field.form.value
    about = field.about + (" **Required.**" if field.required else "")
    if field.effect is not Effect.IN_EFFECT:
        about += f" *{field.effect.value.capitalize()}: {field.reason}.*"
    return f"| `{field.path}` | {kind} | {field.default} | {field.era} | {about} |"


_REFUSED = """## Rules over several fields

- `models` (and `multi_model_reloading`): exactly one of `path`, `paths` and `dir`; `cache_size` and `disk_cache_size`
  both or none, disk at least memory, only with `processes_per_replica: 1`. Types tensorflow and onnx need models,
  type triton needs `models.dir` and takes no `path`.
- `server_side_batching` is not for predictors with a `protobuf_path`.
- `predictor.worker.memory` is below `compute.mem`.

## Dependencies

Files of these names are used where the project has them; the fields of `predictor.dependencies` name others. They are
installed once per environment, never per replica, in this order:

1. `dependencies.sh` runs with bash in a private copy of the project, as the user the platform runs as, with the API's
   Python first on the PATH. It is for what the machine needs, such as `apt-get install`. Files of the project that it
   names count as its own: when one of them changes, it runs again.
2. `conda-packages.txt` is installed by `micromamba`, `mamba` or `conda`, which have to be on the machine.
3. `requirements.txt` is installed by uv. What no file lists is added where the ancestor's images had it: the framework
   of types onnx and tensorflow, protobuf for a `protobuf_path`, and those packages that the predictor imports (boto3,
   requests, numpy, pandas, scikit-learn, PyTorch, OpenCV and the like). List what you want in a certain version.
   Code that runs pip itself, or loads spaCy, which does for its models, finds one in the environment.

What fails ends the deploy with the last lines of its output; the revision before serves on.

## Known and refused for now

The kinds `BatchAPI`, `TaskAPI`, `AsyncAPI` and `TrafficSplitter` are known and not available yet: a deploy says so with
the place in the file. So it does for `kind: deployment` of 0.12.

## The project folder

All files of the folder go into the bundle except: the YAML file itself, dotfiles other than `.env`, bytecode and
`__pycache__`, virtual environments, and what `.cortexignore` lists (with the meaning of `.gitignore`). Links inside the
project are followed, links out of it are refused. `.env` is exported into `predictor.env`; values in the YAML win.
"""


def write(folder: pathlib.Path) -> None:
    """Writes both files below `folder`."""
    (folder / SCHEMA_FILE).write_text(json.dumps(schema(), indent=2) + "\n", "utf-8")
    (folder / REFERENCE_FILE).write_text(reference(), "utf-8")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
