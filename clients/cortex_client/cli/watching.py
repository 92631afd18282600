"""`cortex get -w`: redrawn in place on a terminal, one line per change elsewhere."""

import json
import queue
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cortex_client import names, namesakes
from cortex_client.cli import get, output

if TYPE_CHECKING:
    from cortex_client.client import Client

_REDRAW_SECONDS = 2.0
_CLEAR = "\x1b[H\x1b[2J"


def run(client: "Client", api: str, all_namespaces: bool, form: str) -> None:
    if form == "table" and sys.stdout.isatty():
        _redraw(client, api, all_namespaces)
    else:
        _lines(client, api, all_namespaces, form)


def _lines(client: "Client", api: str, all_namespaces: bool, form: str) -> None:
    """One line (or JSON object, or YAML document) per change."""
    shown: dict[str, list[str]] = {}
    for message in client.watch(api, all_namespaces=all_namespaces):
        if not message.HasField("api"):
            continue
        if form == "json":
            click.echo(json.dumps(output.to_data(message)))
        elif form == "yaml":
            click.echo("---\n" + output.to_yaml(output.to_data(message)), nl=False)
        elif form == "name":
            click.echo(names.last(message.api.name))
        else:
            _line(message, shown)


def _line(message: Any, shown: dict[str, list[str]]) -> None:
    from cortex.apiserver.v1 import api_service_pb2

    name = names.last(message.api.name)
    gone = message.type == api_service_pb2.WATCH_EVENT_TYPE_DELETED
    cells = [name, "deleted"] if gone else get.row(message.api, None)[:4]
    if shown.get(name) != cells:
        if not shown:
            click.echo("  ".join(get.HEADERS[:4]))
        shown[name] = cells
        click.echo("  ".join(cells))


def _redraw(client: "Client", api: str, all_namespaces: bool) -> None:
    """Changes come by the stream; the numbers are asked for again every two seconds."""
    from cortex.apiserver.v1 import api_service_pb2

    apis: dict[str, Any] = {}
    for message in _with_pauses(client.watch(api, all_namespaces=all_namespaces)):
        if message is not None and message.type == api_service_pb2.WATCH_EVENT_TYPE_DELETED:
            apis.pop(message.api.name, None)
        elif message is not None and message.HasField("api"):
            apis[message.api.name] = message.api
            continue
        pending = client.list_metrics_call(None, all_namespaces, timeout=get.METRICS_TIMEOUT)
        ordered = [apis[name] for name in sorted(apis)]
        metrics = namesakes.own(client, ordered, get.metrics_by_api(pending), get.METRICS_TIMEOUT)
        click.echo(_CLEAR + get.render(ordered, metrics, all_namespaces))


def _with_pauses(messages: Iterator[Any]) -> Iterator[Any]:
    """The messages, and None whenever there was none for a while."""
    waiting: queue.Queue[Any] = queue.Queue(maxsize=1000)

    def read() -> None:
        try:
            for message in messages:
                waiting.put(message)
        except Exception as error:
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            message = waiting.get(timeout=_REDRAW_SECONDS)
        except queue.Empty:
            message = None
        if isinstance(message, Exception):
            raise message
        yield message
