"""`cortex get`: the APIs at a glance. Status never waits for metrics: without the monitor the numbers are dashes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cortex_client import exceptions, namesakes
from cortex_client.cli import options, output

if TYPE_CHECKING:
    from cortex.apiserver.v1 import api_pb2
    from cortex_client.client import Client

METRICS_TIMEOUT = 2.0
HEADERS = ["NAME", "STATUS", "REPLICAS", "REVISION", "2XX", "4XX", "5XX", "P50", "P99", "IN-FLIGHT", "LAST UPDATE"]
_WIDE = ["NAMESPACE", "URL", "GENERATION"]


@click.command()
@click.argument("api", required=False, shell_complete=options.complete_api)
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("-w", "--watch", is_flag=True, help="Go on and show every change.")
@options.output_option
@options.connected
def get(client: "Client", api: str | None, all_namespaces: bool, watch: bool, output: str) -> None:
    """List APIs, or show one."""
    if watch:
        from cortex_client.cli import watching

        watching.run(client, api or "", all_namespaces, output)
    elif api:
        _one(client, api, output)
    else:
        _all(client, all_namespaces, output)


def _all(client: "Client", all_namespaces: bool, form: str) -> None:
    pending = client.list_metrics_call(None, all_namespaces, timeout=METRICS_TIMEOUT) if tabular(form) else None
    apis = client.list_apis(all_namespaces=all_namespaces)
    metrics = namesakes.own(client, apis, metrics_by_api(pending), METRICS_TIMEOUT)
    if not apis and tabular(form):
        output.note(f"no APIs in {client.parent(all_namespaces)}; deploy one with `cortex deploy`")
        return
    output.emit(
        form,
        lambda: {"apis": [output.to_data(api) for api in apis]},
        lambda: [api.name.rpartition("/")[2] for api in apis],
        lambda wide: render(apis, metrics, wide or all_namespaces),
    )


def _one(client: "Client", api: str, form: str) -> None:
    pending = client.metrics_call(api, timeout=METRICS_TIMEOUT) if tabular(form) else None
    found = client.get(api)
    metrics = namesakes.own(client, [found], metrics_by_api(pending), METRICS_TIMEOUT)
    output.emit(
        form,
        lambda: output.to_data(found),
        lambda: [found.name.rpartition("/")[2]],
        lambda wide: _text(found, metrics, wide),
    )


def tabular(form: str) -> bool:
    return form in ("table", "wide")


def metrics_by_api(pending: Any) -> dict[str, Any]:
    """Metrics by the API's resource name; a monitor that does not answer costs the numbers, not the status."""
    if pending is None:
        return {}
    try:
        answer = pending.result()
    except exceptions.NotFound:
        return {}
    except exceptions.CortexError as error:
        output.warn(f"no metrics: {error.message}")
        return {}
    found = answer.metrics if hasattr(answer, "metrics") else [answer]
    return {metrics.api: metrics for metrics in found}


def render(apis: "Sequence[api_pb2.Api]", metrics: Mapping[str, Any], wide: bool) -> str:
    headers = HEADERS + (_WIDE if wide else [])
    return output.table(headers, [row(api, metrics.get(api.name), wide) for api in apis])


def row(api: "api_pb2.Api", metrics: Any, wide: bool = False) -> list[str]:
    from cortex_client import names, rollouts

    status = api.status
    serving = names.last(status.serving_revision) or "-"
    if status.target_revision and status.target_revision != status.serving_revision:
        serving = f"{serving} -> {names.last(status.target_revision)}"
    cells = [
        names.last(api.name),
        output.status(rollouts.summary(api)),
        f"{status.ready_replicas}/{status.desired_replicas}",
        serving,
        *_numbers(metrics),
        output.age(api.update_time),
    ]
    return cells + ([names.namespace_of(api.name), status.url, str(api.generation)] if wide else [])


def _numbers(metrics: Any) -> list[str]:
    if metrics is None:
        return ["-"] * 6
    total = metrics.total
    latency = total.latency
    return [
        str(total.requests_2xx),
        str(total.requests_4xx),
        str(total.requests_5xx),
        output.latency(latency.p50, latency.count),
        output.latency(latency.p99, latency.count),
        str(total.in_flight),
    ]


def _text(api: "api_pb2.Api", metrics: Mapping[str, Any], wide: bool) -> str:
    parts = [render([api], metrics, wide)]
    if api.status.url:
        parts.append(f"\nurl: {api.status.url}")
    found = metrics.get(api.name)
    if found is not None and found.total.HasField("predictions"):
        parts.append("\n" + predictions(found.total))
    return "\n".join(parts)


def predictions(total: Any) -> str:
    """Classes with their counts, or the distribution of a regression."""
    found = total.predictions
    if found.class_counts:
        seen = sum(found.class_counts.values()) + found.other_classes
        ranked = sorted(found.class_counts.items(), key=lambda item: (-item[1], item[0]))
        rows = [[name, str(count), f"{100 * count / seen:.1f}%"] for name, count in ranked]
        if found.other_classes:
            rows.append(["(others)", str(found.other_classes), f"{100 * found.other_classes / seen:.1f}%"])
        text = output.table(["CLASS", "PREDICTIONS", "SHARE"], rows)
    else:
        values = total.prediction_values
        cells = [f"{value:.6g}" for value in (values.min, values.p50, values.mean, values.p99, values.max)]
        text = output.table(["PREDICTIONS", "MIN", "MEDIAN", "MEAN", "P99", "MAX"], [[str(values.count), *cells]])
    unreadable = f"\n{found.unreadable} replies held no prediction" if found.unreadable else ""
    return text + unreadable
