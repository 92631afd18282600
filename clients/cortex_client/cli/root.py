"""The command group. Commands are imported when they run: `cortex version` must not pay for gRPC."""

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cortex_client.cli import exits

# name -> (module, attribute, one line of help). A test keeps the help in step with the command's own.
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "up": ("platform", "up", "Start the platform on this machine."),
    "down": ("platform", "down", "Stop the platform on this machine, replicas included."),
    "status": ("platform", "status", "Show the processes of the platform on this machine."),
    "run": ("run", "run", "Serve one project from its folder, without the platform."),
    "doctor": ("doctor", "doctor", "Tell what is installed here, what is not, and what to do next."),
    "deploy": ("deploy", "deploy", "Deploy the APIs of a cortex.yaml."),
    "get": ("get", "get", "List APIs, or show one."),
    "describe": ("describe", "describe", "Show everything known about an API."),
    "logs": ("logs", "logs", "Print the logs of an API, all replicas in one order."),
    "events": ("events", "events", "Print what happened and why."),
    "history": ("history", "history", "List the revisions of an API."),
    "rollback": ("changes", "rollback", "Go back to an earlier revision."),
    "refresh": ("changes", "refresh", "Replace the replicas of an API by new ones."),
    "scale": ("changes", "scale", "Change how many replicas an API has."),
    "delete": ("changes", "delete", "Delete an API."),
    "predict": ("predict", "predict", "Send a prediction request."),
    "env": ("env", "env", "Manage the environments this command talks to."),
    "completion": ("about", "completion", "Print a completion script for a shell."),
    "version": ("about", "version", "Print the version."),
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found: click.Command = getattr(importlib.import_module(f"cortex_client.cli.{module}"), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], list(COMMANDS), n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Deploy Python predictors as production web services.

    Start with `cortex up`, then `cortex deploy` in a folder with a cortex.yaml.
    """


def color(environ: Mapping[str, str]) -> bool | None:
    """Whether to colour: no-color.org first, then FORCE_COLOR, then a dumb terminal; None lets the terminal decide."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return False if environ.get("TERM") == "dumb" else None


def run(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit status."""
    try:
        result: Any = cli.main(list(argv), prog_name="cortex", standalone_mode=False, color=color(os.environ))
    except BaseException as error:
        return exits.handle(error)
    return result if isinstance(result, int) else 0
