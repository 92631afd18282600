"""When the gateway sends a request a second time, and how long it keeps trying.

A replica that is killed is back on its old port within seconds. Retrying for longer than that turns a crash of the only
replica into a slow answer instead of an error. Envoy draws each pause from nothing to its bound: 25 tries, up to a
second apart, are eleven seconds on average, and less than five once in a million.
"""

import functools
from typing import Any

from services import xds_types
from services.apiserver.xds import kinds

MARKER = "x-cortex-retry"
_PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
# The request has certainly not been looked at: safe for everyone.
_SAFE = "connect-failure,refused-stream,retriable-headers"
_NOT_READY = "not-ready"
# The connection broke before the answer began, or the runtime says that the worker died. The prediction may have run.
_EAGER = f"{_SAFE},reset"


@functools.cache
def policy(*, enabled: bool) -> Any:
    """Never after the answer has begun: Envoy cannot take back what it has sent on."""
    message = xds_types.message("envoy.config.route.v3.RetryPolicy")(
        retry_on=_EAGER if enabled else _SAFE,
        num_retries={"value": 25},
        retry_back_off={"base_interval": kinds.seconds(0.05), "max_interval": kinds.seconds(1)},
        retry_host_predicate=[
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": xds_types.pack(xds_types.message(_PREVIOUS_HOSTS)()),
            }
        ],
        # With one replica left, the replica that failed is tried again after three attempts to find another.
        host_selection_retry_max_attempts=3,
        # During a rollout the next try goes to the other revision: one whose every replica crashes fails nobody.
        refresh_cluster_on_retry=True,
    )
    if enabled:
        message.retriable_headers.add(name=MARKER, present_match=True)
    else:
        message.retriable_headers.add(name=MARKER, string_match={"exact": _NOT_READY})
    return message
