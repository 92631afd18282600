"""`cortex up`, `down` and `status`: the platform's own launcher, run as a program when it is installed here."""

import subprocess
import sys
from importlib import machinery

import click

from cortex_client import exceptions

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
    if not installed():
        raise exceptions.CortexError(
            "the platform is not installed here, only its client",
            hint="run `pip install cortex-platform`, or name a platform elsewhere with `cortex env configure`",
        )
    # -P: a folder `services` where the user stands is the user's, and never runs in place of the platform's.
    return subprocess.call([sys.executable, "-P", "-m", _LAUNCHER, verb, *arguments])


def installed() -> bool:
    """Whether a launcher lies where `-P` finds one; Python puts the script's or the current folder first otherwise."""
    package = _LAUNCHER.partition(".")[0]
    places = [place for place in sys.path[0 if sys.flags.safe_path else 1 :] if place]
    found = machinery.PathFinder.find_spec(package, places)
    if found is None or found.submodule_search_locations is None:
        return False
    return machinery.PathFinder.find_spec(_LAUNCHER, list(found.submodule_search_locations)) is not None
