"""The reference page of the command, made from the commands themselves.

`python -m cortex_client.cli.manual docs/reference/cli.md` writes it; a test keeps it in step.
"""

import pathlib
import sys

import click

from cortex_client.cli import root

_HEAD = """# The cortex command

<!-- Made by `python -m cortex_client.cli.manual docs/reference/cli.md`. -->

Data goes to stdout, progress and notes to stderr. Nothing is asked and nothing moves off a terminal. `NO_COLOR`,
`FORCE_COLOR` and `TERM=dumb` are honoured. What is set wins in this order: flags, `CORTEX_ENVIRONMENT` and
`CORTEX_NAMESPACE`, the default of `cortex env`, `local`.

| Exit status | Meaning |
|---|---|
| 0 | done |
| 1 | failed: a wrong project, a failed rollout, an error of the platform |
| 2 | wrong usage |
| 3 | not found |
| 4 | conflict: somebody else changed it |
| 5 | access denied |
| 6 | unavailable: nobody answers |
| 7 | timeout |
| 130 | interrupted; a deploy that was waited for goes on |
"""


def render() -> str:
    context = root.cli.make_context("cortex", [], resilient_parsing=True)
    parts = [_HEAD]
    for name in root.COMMANDS:
        command = root.cli.get_command(context, name)
        assert command is not None, "COMMANDS names commands that exist"
        parts += _command(command, click.Context(command, info_name=name, parent=context), 2)
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context, level: int) -> list[str]:
    lines = [f"{'#' * level} {context.command_path}", "", "```text", _help(command, context), "```", ""]
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            lines += _command(child, click.Context(child, info_name=name, parent=context), level + 1)
    return lines


def _help(command: click.Command, context: click.Context) -> str:
    context.terminal_width = 110
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


if __name__ == "__main__":
    pathlib.Path(sys.argv[1]).write_text(render(), "utf-8")
