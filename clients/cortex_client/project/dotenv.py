"""`.env` files: KEY=VALUE lines, as shells and docker read them. Values are secrets: no error ever shows one."""

import re

from cortex_client.project import errors
from cortex_client.project.errors import Position, Problem

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def parse(text: str, file: str) -> dict[str, str]:
    """Comments and empty lines are skipped, quotes taken off; `\\n` and its like count between double quotes only."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        value = _unquote(match[2]) if match else None
        if match is None or value is None:
            message = "expected KEY=VALUE" if match is None else "the quote is not closed"
            raise errors.ProjectInvalid(file, [Problem("", Position(number, 1), message)])
        found[match[1]] = value
    return found


def _unquote(text: str) -> str | None:
    """The value, None when a quote stays open."""
    quote = text[:1]
    if quote not in ("'", '"'):
        return re.split(r"\s+#", text, maxsplit=1)[0].strip()
    closed = re.match(r"'([^']*)'\s*(#.*)?$" if quote == "'" else r'"((?:[^"\\]|\\.)*)"\s*(#.*)?$', text)
    if closed is None:
        return None
    if quote == "'":
        return closed[1]
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), closed[1])
