"""How results look: aligned tables for people, JSON and YAML for programs, names for shells."""

import datetime
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

HIDDEN = "<hidden>"
_NEVER_WRAP = 1_000_000


def note(text: str = "") -> None:
    """Something said to a person."""
    click.echo(text, err=True)


def warn(text: str) -> None:
    note(click.style("note: ", fg="yellow") + text)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns two spaces apart; cells may hold colours."""
    cells = [list(headers), *[list(row) for row in rows]]
    widths = [max(len(click.unstyle(row[column])) for row in cells) for column in range(len(headers))]
    lines = []
    for row in cells:
        padded = [cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def to_data(message: Any) -> Any:
    """A protobuf message as JSON types, without the values of environment variables, which may be secrets."""
    from google.protobuf import json_format

    return hide(json_format.MessageToDict(message, preserving_proto_field_name=True))


def hide(data: Any) -> Any:
    """The same with every `predictor.env` value hidden."""
    if isinstance(data, dict):
        hidden = {key: hide(value) for key, value in data.items()}
        predictor = hidden.get("predictor")
        if isinstance(predictor, dict) and isinstance(predictor.get("env"), dict):
            hidden["predictor"] = {**predictor, "env": dict.fromkeys(predictor["env"], HIDDEN)}
        return hidden
    return [hide(item) for item in data] if isinstance(data, list) else data


def emit(form: str, data: Callable[[], Any], names: Callable[[], Iterable[str]], text: Callable[[bool], str]) -> None:
    """Writes one result to stdout in the form asked for; `text` is told whether the wide table is wanted."""
    if form == "json":
        click.echo(json.dumps(data(), indent=2))
    elif form == "yaml":
        click.echo(to_yaml(data()), nl=False)
    elif form == "name":
        for name in names():
            click.echo(name)
    else:
        shown = text(form == "wide")
        if shown:
            click.echo(shown)


def to_yaml(data: Any) -> str:
    import io

    from ruamel import yaml

    writer = yaml.YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.width = _NEVER_WRAP
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # a documented switch, typed None
    stream = io.StringIO()
    writer.dump(data, stream)
    return stream.getvalue()


def age(timestamp: Any, now: datetime.datetime | None = None) -> str:
    """`3m12s` since a protobuf timestamp, `-` when it is not set."""
    if not timestamp.seconds:
        return "-"
    now = now or datetime.datetime.now(datetime.UTC)
    return duration(max(0.0, now.timestamp() - timestamp.seconds - timestamp.nanos / 1e9))


def duration(seconds: float) -> str:
    """Two units at most: `850ms`, `12s`, `3m12s`, `2d4h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms" if seconds > 0 else "0s"
    whole = int(seconds)
    for size, unit, smaller, sub in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit}" + (f"{rest}{sub}" if rest else "")
    return f"{whole}s"


def latency(seconds: float, count: int) -> str:
    """Milliseconds with three significant digits."""
    return "-" if not count else f"{seconds * 1000:.3g}ms" if seconds < 1 else f"{seconds:.3g}s"


def clock_time(timestamp: Any) -> str:
    """Local time of a protobuf timestamp."""
    if not timestamp.seconds:
        return "-"
    return timestamp.ToDatetime(datetime.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")  # type: ignore[no-any-return]


def tint(text: str, colour: str | None) -> str:
    """In a colour, or untouched without one."""
    return click.style(text, fg=colour) if colour else text


def gist(text: str) -> str:
    """One line that says most: the first, of a traceback the last."""
    lines = text.strip().splitlines()
    if not lines:
        return ""
    return lines[-1].strip() if lines[0].startswith("Traceback ") else lines[0]


def status(text: str) -> str:
    """A status word in its colour."""
    colors: Mapping[str, str] = {"ready": "green", "updating": "yellow", "pending": "yellow", "scaled to zero": "blue"}
    return click.style(text, fg=colors.get(text, "yellow" if text.startswith("ready") else "red"))


def interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
