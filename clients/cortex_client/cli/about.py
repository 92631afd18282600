"""`cortex version` and `cortex completion`."""

import click

from cortex_client.cli import options, output


@click.command()
@options.output_option
def version(output: str) -> None:
    """Print the version."""
    _version(output)


def _version(form: str) -> None:
    from cortex_client.version import VERSION

    output.emit(form, lambda: {"version": VERSION}, lambda: [VERSION], lambda wide: VERSION)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script for a shell.

    \b
    bash:  cortex completion bash >> ~/.bashrc
    zsh:   cortex completion zsh >> ~/.zshrc
    fish:  cortex completion fish > ~/.config/fish/completions/cortex.fish
    """
    from click import shell_completion

    from cortex_client.cli.root import cli

    kind = shell_completion.get_completion_class(shell)
    assert kind is not None, "click knows every shell of the choice above"
    script = kind(cli, {}, "cortex", "_CORTEX_COMPLETE")
    click.echo(script.source_template % script.source_vars())
