"""`cortex up`, `down` and `status`: the platform's own launcher, run as a program when it is installed here."""

import subprocess

import click

from cortex_client.running import programs

_LAUNCHER = "services.launcher"
_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}


@click.command(context_settings=_PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def up(arguments: tuple[str, ...]) -> int:
    """Start the platform on this machine.

    Options are those of the launcher: `cortex up --help`.
    """
    return _launch("up", arguments)


@click.command(context_settings=_PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def down(arguments: tuple[str, ...]) -> int:
    """Stop the platform on this machine, replicas included.

    Options are those of the launcher: `cortex down --help`.
    """
    return _launch("down", arguments)


@click.command(context_settings=_PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def status(arguments: tuple[str, ...]) -> int:
    """Show the processes of the platform on this machine.

    Options are those of the launcher, such as `-o json`: `cortex status --help`.
    """
    return _launch("status", arguments)


def _launch(verb: str, arguments: tuple[str, ...]) -> int:
    return subprocess.call([*programs.command(_LAUNCHER, verb), *arguments])
