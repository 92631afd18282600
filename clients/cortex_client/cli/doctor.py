"""`cortex doctor`: what this machine has of all that the platform can use, and what to do about the rest."""

import asyncio
import pathlib

import click

from cortex_client.cli import options, output

_MARKS = {"ok": ("ok", "green"), "absent": ("-", "yellow"), "missing": ("MISSING", "red")}


@click.command()
@click.option(
    "--python", "pythons", multiple=True, type=click.Path(path_type=pathlib.Path), metavar="PATH",
    help="Look for inference engines in this Python too (repeatable).",
)  # fmt: skip
@options.output_option
def doctor(pythons: tuple[pathlib.Path, ...], output: str) -> int:
    """Tell what is installed here, what is not, and what to do next.

    The status is 1 when something is missing that the platform cannot do without. What is absent is needed by some
    projects only.
    """
    from cortex_client.running import diagnosis

    checks = asyncio.run(diagnosis.examine([str(python) for python in pythons]))
    _show(checks, output)
    return 1 if any(check["state"] == "missing" for check in checks) else 0


def _show(checks: list[dict[str, str]], form: str) -> None:
    output.emit(
        form,
        lambda: {"checks": checks},
        lambda: [check["name"] for check in checks],
        lambda wide: "\n".join(_told(check) for check in checks),
    )


def _told(check: dict[str, str]) -> str:
    text, color = _MARKS[check["state"]]
    line = f"{click.style(f'{text:<8}', fg=color)}{check['name']}: {check['found']}"
    return line + (click.style(f"\n        next: {check['next']}", dim=True) if check["next"] else "")
