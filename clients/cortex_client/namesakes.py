"""Metrics are kept by name: what an API did that was removed must not be shown as done by the one made after it."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cortex_client import exceptions, observing

if TYPE_CHECKING:
    from cortex.apiserver.v1 import api_pb2
    from cortex_client.client import Client


def own(client: "Client", apis: "Iterable[api_pb2.Api]", metrics: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """The metrics by API name, asked for once more where an API is younger than the window they are of."""
    pending = {
        api.name: observing.metrics(client.transport, api.name, None, timeout, api.create_time.ToDatetime())
        for api in apis
        if _older(metrics.get(api.name), api)
    }
    found = dict(metrics)
    for name, call in pending.items():
        try:
            found[name] = call.result()
        except exceptions.CortexError:
            # Numbers that may be another's are worse than none.
            del found[name]
    return found


def _older(metrics: Any, api: "api_pb2.Api") -> bool:
    if metrics is None or not metrics.total.requests_by_status:
        return False
    begin, made = metrics.start_time, api.create_time
    return (begin.seconds, begin.nanos) < (made.seconds, made.nanos)
