"""A replica's log lines, which are JSON, as a person reads them at a terminal."""

import json
from typing import Any

import click

_COLORS = {"debug": "bright_black", "warning": "yellow", "error": "red", "critical": "red"}


def render(raw: bytes) -> str | None:
    """None for what only the platform wants to know. What is no log line stays as it is."""
    text = raw.decode(errors="replace").rstrip()
    try:
        line = json.loads(text)
    except ValueError:
        return text or None
    if not isinstance(line, dict) or "message" not in line:
        return text
    level = str(line.get("level", "info"))
    if line.get("source") == "cortex" and level in ("debug", "info"):
        return None
    return _render(line, level)


def _render(line: dict[str, Any], level: str) -> str:
    clock = str(line.get("time", ""))[11:23]
    name = click.style(f"{level.upper():<7}", fg=_COLORS.get(level, "green"))
    request = str(line.get("request_id") or "")
    said = click.style(f"  [{request}]", dim=True) if request else ""
    first, newline, rest = str(line["message"]).partition("\n")
    return f"{click.style(clock, dim=True)} {name} {first}{said}{newline}{rest}"
