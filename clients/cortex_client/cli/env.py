"""`cortex env`: named platforms. `local` is always there and means the one `cortex up` started."""

import os

import click

from cortex_client import environments, exceptions
from cortex_client.cli import options, output


@click.group()
def env() -> None:
    """Manage the environments this command talks to."""


@env.command("list")
@options.output_option
def list_environments(output: str) -> None:
    """List the environments; `*` marks the default."""
    _list(output)


def _list(form: str) -> None:
    registry = environments.load(os.environ)
    default = os.environ.get("CORTEX_ENVIRONMENT") or registry.default or environments.LOCAL
    found = {environments.LOCAL: _local(), **registry.environments}
    data = [
        {"name": name, "address": e.address, "namespace": e.namespace, "tls": e.tls, "default": name == default}
        for name, e in sorted(found.items())
    ]
    rows = [["*" if e["default"] else "", str(e["name"]), str(e["address"]), str(e["namespace"])] for e in data]
    output.emit(
        form,
        lambda: {"environments": data},
        lambda: [str(e["name"]) for e in data],
        lambda wide: output.table(["", "NAME", "ADDRESS", "NAMESPACE"], rows),
    )


def _local() -> environments.Environment:
    try:
        return environments.local(os.environ)
    except exceptions.CortexError:
        return environments.Environment(environments.LOCAL, "(not running)")


@env.command()
@click.argument("name")
@click.option("--address", required=True, help="host:port of the gateway's control listener.")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace to use by default.")
@click.option("--tls/--no-tls", default=False, show_default=True, help="Talk TLS.")
@click.option("--default", "make_default", is_flag=True, help="Make it the default.")
def configure(name: str, address: str, namespace: str, tls: bool, make_default: bool) -> None:
    """Add or change an environment."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise click.BadParameter(f"expected host:port, found {address!r}", param_hint="--address")
    registry = environments.load(os.environ)
    registry = registry.with_environment(environments.Environment(name, address, namespace, tls))
    (registry.with_default(name) if make_default else registry).save()
    output.note(f"{name} is {address}, kept in {registry.path}")


@env.command("default")
@click.argument("name", required=False)
@options.output_option
def default_environment(name: str | None, output: str) -> None:
    """Print the default environment, or set it."""
    _default(name, output)


def _default(name: str | None, form: str) -> None:
    registry = environments.load(os.environ)
    if name is not None:
        registry.with_default(name).save()
        output.note(f"{name} is the default now")
        return
    found = registry.default or environments.LOCAL
    output.emit(form, lambda: {"default": found}, lambda: [found], lambda wide: found)


@env.command("delete")
@click.argument("name")
def delete_environment(name: str) -> None:
    """Forget an environment; the platform itself is not touched."""
    environments.load(os.environ).without(name).save()
    output.note(f"{name} is forgotten")
