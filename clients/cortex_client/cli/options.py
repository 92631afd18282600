"""Options that several commands share, spelled alike everywhere."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cortex_client.client import Client

_BARE = re.compile(r"\d+(\.\d+)?", re.ASCII)
F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("table", "json", "yaml", "wide", "name")


class DurationType(click.ParamType[float]):
    """`30s`, `5m`, `1h30m`, or a bare number of seconds; gives seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from cortex_client.project import quantities

        if isinstance(value, int | float):
            return float(value)
        try:
            return quantities.parse_duration(f"{value}s" if _BARE.fullmatch(value) else value) / 1e9
        except ValueError as error:
            self.fail(f"expected {error}, found {value!r}", param, ctx)


DURATION = DurationType()


def connected(function: F) -> F:
    """Adds -e and -n, and hands the command a `client`, closed afterwards. One command is one trace."""

    @click.option(
        "-e", "--env", "environment", envvar="CORTEX_ENVIRONMENT", help="Environment (see `cortex env list`)."
    )
    @click.option("-n", "--namespace", envvar="CORTEX_NAMESPACE", help="Namespace.  [default: the environment's]")
    @functools.wraps(function)
    def wrapper(*args: Any, environment: str | None, namespace: str | None, **given: Any) -> Any:
        from cortex_client import exceptions, tracing

        with open_client(environment, namespace) as client, tracing.together():
            try:
                return function(*args, client=client, **given)
            except exceptions.NotFound as error:
                error.hint = error.hint or _known(given)
                raise

    return wrapper  # type: ignore[return-value]  # click's decorators keep the callable a callable


def _known(given: Mapping[str, Any]) -> str:
    """Where to see what there is instead of what was named."""
    if given.get("revision"):
        return f"`cortex history {given['api']}` lists its revisions"
    return "`cortex get -A` lists the APIs, `cortex deploy` makes one"


def open_client(environment: str | None, namespace: str | None) -> "Client":
    from cortex_client.cli import output
    from cortex_client.client import Client

    return Client(
        environment, namespace=namespace, on_break=lambda error: output.warn(f"trying again: {error.message}")
    )


def complete_api(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of APIs for the shell; a platform that does not answer completes nothing."""
    from cortex_client import exceptions, names
    from cortex_client.client import Client

    try:
        environment, namespace = ctx.params.get("environment"), ctx.params.get("namespace")
        with Client(environment, namespace=namespace, timeout=1.0) as client:
            found = [names.last(api.name) for api in client.list_apis()]
    except exceptions.CortexError:
        return []
    return [name for name in found if name.startswith(incomplete)]


api_argument = click.argument("api", shell_complete=complete_api)
output_option = click.option(
    "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="Form of the output."
)
wait_option = click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is done.")
timeout_option = click.option(
    "--timeout", type=DURATION, default="10m", show_default=True, help="How long to wait, such as 90s or 5m."
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
