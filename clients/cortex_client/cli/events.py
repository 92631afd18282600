"""`cortex events`."""

import json
from typing import TYPE_CHECKING

import click

from cortex_client import names
from cortex_client.cli import options, output

if TYPE_CHECKING:
    from cortex.apiserver.v1 import event_pb2
    from cortex_client.client import Client


@click.command()
@click.argument("api", required=False, shell_complete=options.complete_api)
@click.option("-f", "--follow", is_flag=True, help="Go on as things happen; resumes after breaks.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many of the past.")
@options.output_option
@options.connected
def events(client: "Client", api: str | None, follow: bool, limit: int, output: str) -> None:
    """Print what happened and why."""
    found = client.events(api or "", limit=limit)
    found.reverse()
    if not follow:
        _emit(found, output)
        return
    for event in found:
        _line(event, output)
    for event in client.follow_events(api or "", after=found[-1].name if found else ""):
        _line(event, output)


def _emit(found: "list[event_pb2.Event]", form: str) -> None:
    output.emit(
        form,
        lambda: {"events": [output.to_data(event) for event in found]},
        lambda: [event.name for event in found],
        lambda wide: _table(found),
    )


def _table(found: "list[event_pb2.Event]") -> str:
    from cortex_client.cli import sections

    if not found:
        output.note("no events")
        return ""
    rows = [[names.last(event.api), *sections.event_row(event)] for event in found]
    return output.table(["API", "AGE", "TYPE", "COUNT", "BY", "MESSAGE"], rows)


def _line(event: "event_pb2.Event", form: str) -> None:
    if form == "json":
        click.echo(json.dumps(output.to_data(event)))
    elif form == "yaml":
        click.echo("---\n" + output.to_yaml(output.to_data(event)), nl=False)
    elif form == "name":
        click.echo(event.name)
    else:
        told = output.gist(event.message)
        click.echo(f"{output.clock_time(event.time)}  {names.last(event.api)}  {event.type}  {told}")
