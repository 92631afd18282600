"""`cortex predict`: one request from a file or stdin."""

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from cortex_client import exceptions, tracing
from cortex_client.cli import options, output

if TYPE_CHECKING:
    from cortex_client.client import Client
    from cortex_client.prediction import Prediction

_MOST_BYTES = 64 * 1024 * 1024


@click.command()
@options.api_argument
@click.argument("json_file", type=click.File("rb"))
@click.option("--grpc", "over_grpc", is_flag=True, help="Over gRPC instead of HTTP.")
@click.option("--stream", is_flag=True, help="Over gRPC, printing each part as it comes.")
@click.option("--timeout", type=options.DURATION, default="60s", show_default=True, help="How long to wait.")
@click.option("-v", "--verbose", is_flag=True, help="Tell the trace id, for `cortex logs --trace`.")
@options.output_option
@options.connected
def predict(
    client: "Client",
    api: str,
    json_file: Any,
    over_grpc: bool,
    stream: bool,
    timeout: float,
    verbose: bool,
    output: str,
) -> None:
    """Send a prediction request.

    JSON_FILE holds the payload, `-` reads it from stdin. The reply goes to stdout.
    """
    data, payload = _read(json_file)
    with tracing.together() as trace:
        try:
            if stream:
                for part in client.predict_stream(api, payload, timeout=timeout):
                    _show(part, output)
            elif over_grpc:
                _show(client.predict_grpc(api, payload, timeout=timeout), output)
            else:
                _http(client, api, data, timeout, output)
        finally:
            if verbose:
                _tell(api, trace.trace_id)


def _read(json_file: Any) -> tuple[bytes, Any]:
    """The payload as it is, and what it says."""
    data = json_file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise click.BadParameter("is larger than 64 MiB", param_hint="JSON_FILE")
    try:
        return data, json.loads(data)
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="JSON_FILE") from None


def _tell(api: str, trace_id: str) -> None:
    output.note(f"trace id: {trace_id}")
    output.note(f"its lines: `cortex logs {api} --trace {trace_id}`")


def _http(client: "Client", api: str, data: bytes, timeout: float, form: str) -> None:
    try:
        reply = client.predict(api, data=data, timeout=timeout)
    except exceptions.PredictionFailed as error:
        error.hint = f"see `cortex logs {api} --trace {error.trace_id}`"
        raise
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    _show(_said(reply, kind), form, text=kind.startswith("text/") or "json" in kind)


def _said(reply: "Prediction", kind: str) -> Any:
    """What JSON says; lines of JSON, and what only calls itself JSON, as they came."""
    if kind == "application/json" or kind.endswith("+json"):
        with contextlib.suppress(ValueError):
            return reply.json()
    return reply.body


def _show(part: Any, form: str, *, text: bool = False) -> None:
    if isinstance(part, bytes):
        sys.stdout.buffer.write(part)
        # Other bytes go into a file or a pipe as they came.
        if not part.endswith(b"\n") and (text or sys.stdout.isatty()):
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
    elif form == "yaml":
        click.echo(output.to_yaml(part), nl=False)
    else:
        click.echo(json.dumps(part, indent=2 if form == "json" else None))
