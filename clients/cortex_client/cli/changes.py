"""Changes of an API that is there: rollback, refresh, scale, delete."""

from typing import TYPE_CHECKING

import click

from cortex_client.cli import following, options, output

if TYPE_CHECKING:
    from cortex.apiserver.v1 import api_pb2
    from cortex_client.client import Client
    from cortex_client.deployment import Deployment


@click.command()
@options.api_argument
@click.option("--to", "revision", default="", help="Id of the revision.  [default: the one that served before]")
@options.wait_option
@options.timeout_option
@options.output_option
@options.connected
def rollback(client: "Client", api: str, revision: str, wait: bool, timeout: float, output: str) -> int:
    """Go back to an earlier revision."""
    made = client.rollback(api, revision)
    status = following.settle(made, wait, timeout, output)
    if status == 0 and wait:
        _tell_back(made)
    return status


def _tell_back(made: "Deployment") -> None:
    from cortex_client import names, rollouts

    back = names.last(made.api.status.target_revision)
    given_up = rollouts.given_up(made.api)
    if given_up:
        output.note(f"{back} serves {made.name}, as it did before: nothing had to move, and {given_up} stays given up")
    else:
        output.note(f"{back} serves {made.name} again")


@click.command()
@options.api_argument
@options.wait_option
@options.timeout_option
@options.output_option
@options.connected
def refresh(client: "Client", api: str, wait: bool, timeout: float, output: str) -> int:
    """Replace the replicas of an API by new ones."""
    return following.settle(client.refresh(api), wait, timeout, output)


@click.command()
@options.api_argument
@click.option("--min", "minimum", type=click.IntRange(0), help="Lowest number.")
@click.option("--max", "maximum", type=click.IntRange(1), help="Highest number.")
@click.option("--replicas", type=click.IntRange(0), help="Number wanted now; the autoscaler may change it again.")
@options.wait_option
@options.timeout_option
@options.output_option
@options.connected
def scale(
    client: "Client",
    api: str,
    minimum: int | None,
    maximum: int | None,
    replicas: int | None,
    wait: bool,
    timeout: float,
    output: str,
) -> None:
    """Change how many replicas an API has."""
    if minimum is None and maximum is None and replicas is None:
        raise click.UsageError("give --min, --max or --replicas")
    made = client.scale(api, minimum=minimum, maximum=maximum, replicas=replicas)
    if wait:
        try:
            made.wait_scaled(timeout)
        except KeyboardInterrupt:
            following.going_on(made.name)
            raise
    _show_scaled(made.api, output)


def _show_scaled(api: "api_pb2.Api", form: str) -> None:
    from cortex_client import names
    from cortex_client.cli import sections

    name = names.last(api.name)
    output.emit(
        form,
        lambda: output.to_data(api),
        lambda: [name],
        lambda wide: f"{name}  {sections.replica_count(api)}",
    )


@click.command()
@options.api_argument
@options.yes_option
@options.wait_option
@options.timeout_option
@options.output_option
@options.connected
def delete(client: "Client", api: str, yes: bool, wait: bool, timeout: float, output: str) -> None:
    """Delete an API.

    Its URL, replicas and revisions go. What is recorded stays a while: metrics for 14 days, events and log lines until
    they are collected.
    """
    _confirm(api, yes)
    made = client.delete(api)
    if wait:
        made.wait_deleted(timeout)
    _show_deleted(made.name, output, wait)


def _confirm(api: str, yes: bool) -> None:
    """Asks a person; a program has to say -y, because nothing brings the API back."""
    if yes:
        return
    if not output.interactive():
        raise click.UsageError("deleting needs -y where nobody can be asked")
    output.note(f"{api} stops answering, and there is no rollback: its revisions go with it.")
    output.note("Kept for a while: its metrics (14 days), its events and log lines (until collected).")
    if not click.confirm(f"Delete {api}?", err=True):
        output.note("nothing is deleted")
        raise click.exceptions.Exit(1)


def _show_deleted(name: str, form: str, waited: bool) -> None:
    word = "deleted" if waited else "deleting"
    output.emit(form, lambda: {"name": name, "state": word}, lambda: [name], lambda wide: f"{name}  {word}")
