"""A plan as a coloured difference and the actions that would follow."""

from typing import Any

import click

from cortex.apiserver.v1 import api_service_pb2
from cortex_client import names
from cortex_client.cli import output

_HIDDEN_PATH = "predictor.env"


def render(plan: api_service_pb2.PlanApiResponse) -> str:
    name = names.last(plan.api.name)
    if plan.creates:
        head = click.style(f"+ {name}", fg="green") + " would be created"
    elif plan.changes:
        head = click.style(f"~ {name}", fg="yellow") + " would change"
    else:
        head = f"{name} stays as it is"
    revision = f", revision {plan.revision_id}" if plan.revision_id else ""
    lines = [head + revision]
    for change in plan.changes:
        lines += _change(change)
    if plan.actions:
        lines += ["  actions:", *(f"    {number}. {action}" for number, action in enumerate(plan.actions, start=1))]
    return "\n".join(lines)


def _change(change: api_service_pb2.FieldChange) -> list[str]:
    before, after = _shown(change.path, change.before), _shown(change.path, change.after)
    lines = [f"    {change.path}"]
    if before:
        lines.append(click.style(f"  -   {before}", fg="red"))
    if after:
        lines.append(click.style(f"  +   {after}", fg="green"))
    return lines


def _shown(path: str, value: str) -> str:
    secret = f".{_HIDDEN_PATH}." in f".{path}."
    return output.HIDDEN if value and secret else value


def to_data(plan: api_service_pb2.PlanApiResponse) -> Any:
    data = output.to_data(plan)
    for change in data.get("changes", []):
        for side in ("before", "after"):
            if side in change:
                change[side] = _shown(change.get("path", ""), change[side])
    return data
