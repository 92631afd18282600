"""`cortex describe`: everything known about one API on one page. Only the API itself has to answer."""

from typing import TYPE_CHECKING, Any

import click

from cortex_client import exceptions, namesakes
from cortex_client.cli import get, options, output

if TYPE_CHECKING:
    from cortex_client.client import Client

_SIDE_TIMEOUT = 2.0
_EVENTS = 10


@click.command()
@options.api_argument
@options.output_option
@options.connected
def describe(client: "Client", api: str, output: str) -> None:
    """Show everything known about an API."""
    _describe(client, api, output)


def _describe(client: "Client", api: str, form: str) -> None:
    asked = {
        "metrics": client.metrics_call(api, timeout=_SIDE_TIMEOUT),
        "decision": client.decision_call(api, timeout=_SIDE_TIMEOUT),
        "events": client.events_call(api, _EVENTS, timeout=_SIDE_TIMEOUT),
    }
    found = client.get(api)
    sides, missing = {}, {}
    for name, pending in asked.items():
        try:
            sides[name] = pending.result()
        except exceptions.NotFound:
            missing[name] = "nothing known yet"
        except exceptions.CortexError as error:
            missing[name] = error.message
    if "metrics" in sides:
        own = namesakes.own(client, [found], {found.name: sides.pop("metrics")}, _SIDE_TIMEOUT).get(found.name)
        if own is None:
            missing["metrics"] = "the monitor did not answer"
        else:
            sides["metrics"] = own
    output.emit(
        form,
        lambda: {"api": output.to_data(found), **{name: output.to_data(side) for name, side in sides.items()}},
        lambda: [found.name.rpartition("/")[2]],
        lambda wide: _page(found, sides, missing),
    )


def _page(api: Any, sides: dict[str, Any], missing: dict[str, str]) -> str:
    from cortex_client.cli import sections

    parts = [sections.head(api), sections.conditions(api), sections.rollout(api), sections.replicas(api)]
    parts.append(sections.traffic(api))
    parts.append(_side("Autoscaling", "decision", sections.decision, sides, missing))
    parts.append(sections.timeouts(api))
    parts.append(_side("Metrics (15 min)", "metrics", _metrics, sides, missing))
    parts.append(_side("Events", "events", lambda answer: sections.events(answer.events), sides, missing))
    parts.append(sections.not_in_effect(api))
    return "\n\n".join(part for part in parts if part)


def _side(title: str, name: str, render: Any, sides: dict[str, Any], missing: dict[str, str]) -> str:
    from cortex_client.cli import sections

    text = render(sides[name]) if name in sides else f"({missing[name]})"
    return sections.section(title, text)


def _metrics(metrics: Any) -> str:
    total, latency = metrics.total, metrics.total.latency
    cells = [str(total.requests_2xx), str(total.requests_4xx), str(total.requests_5xx)]
    cells += [f"{total.requests_per_second:.3g}/s"]
    cells += [output.latency(value, latency.count) for value in (latency.p50, latency.p90, latency.p99, latency.max)]
    cells += [output.latency(total.queue_time.p99, total.queue_time.count), str(total.in_flight)]
    headers = ["2XX", "4XX", "5XX", "RATE", "P50", "P90", "P99", "MAX", "QUEUED P99", "IN-FLIGHT"]
    text = output.table(headers, [cells])
    if total.lost_observations:
        text += f"\n{total.lost_observations} observations were lost"
    return text + ("\n\n" + get.predictions(total) if total.HasField("predictions") else "")
