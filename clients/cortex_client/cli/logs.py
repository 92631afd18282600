"""`cortex logs`: one ordered tail over all replicas. A break is bridged by token: nothing twice, nothing lost."""

import datetime
import json
from typing import TYPE_CHECKING, Any

import click

from cortex_client.cli import options, output

if TYPE_CHECKING:
    from cortex_client.client import Client

_COLOURS = {"debug": "bright_black", "warning": "yellow", "error": "red"}


@click.command()
@options.api_argument
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written; resumes after breaks.")
@click.option("--since", type=options.DURATION, help="Only lines of that last time, such as 5m.")
@click.option(
    "--tail", type=click.IntRange(0), help="Begin with the newest N lines, 0 for all.  [default: 100, all with --since]"
)
@click.option("--grep", default="", help="Only lines that match this regular expression.")
@click.option("--replica", "replicas", multiple=True, help="Only of this replica; may be repeated.")
@click.option("--revision", default="", help="Only of this revision.")
@click.option("--level", type=click.Choice(["debug", "info", "warning", "error"]), help="Only at or above this level.")
@click.option("--trace", default="", help="Only lines of this trace.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line; the same as -o json.")
@options.output_option
@options.connected
def logs(client: "Client", api: str, follow: bool, since: float | None, tail: int | None, as_json: bool,
         level: str | None, output: str, **filters: Any) -> None:  # fmt: skip
    """Print the logs of an API, all replicas in one order."""
    form = "json" if as_json else output
    newest = tail if tail is not None else 0 if since is not None else 100
    entries = client.logs(
        api,
        follow=follow,
        since=None if since is None else datetime.timedelta(seconds=since),
        tail=newest,
        level=level or "",
        on_dropped=_dropped,
        **filters,
    )
    written = 0
    for entry in entries:
        click.echo(_line(entry, form))
        written += 1
    if not written and not follow:
        _tell_none(api, filtered=bool(since or level or any(filters.values())))


def _tell_none(api: str, *, filtered: bool) -> None:
    if filtered:
        output.note(f"no lines of {api} match")
    else:
        output.note(f"no lines of {api} yet; `cortex logs {api} -f` waits for them")


def _dropped(notice: Any) -> None:
    count = f"{notice.lines} lines" if notice.lines else "some lines"
    where = f" of {notice.replica}" if notice.replica else ""
    output.warn(f"{count}{where} were lost: {notice.reason}")


def _line(entry: Any, form: str) -> str:
    if form == "json":
        return json.dumps(output.to_data(entry))
    if form == "yaml":
        return "---\n" + output.to_yaml(output.to_data(entry)).rstrip()
    if form == "name":
        return str(entry.replica)
    time = entry.time.ToDatetime(datetime.UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    who = entry.replica.rpartition("-")[2] + (f"/{entry.worker}" if entry.worker else "")
    level = output.tint(f"{entry.level or 'info':<7}", _COLOURS.get(entry.level))
    more = f"  trace={entry.trace_id}" if form == "wide" and entry.trace_id else ""
    return f"{time} {click.style(who, fg='cyan')} {level} {entry.message}{more}"
