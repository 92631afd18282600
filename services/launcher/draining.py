"""Before the gateway ends: nobody who waits for an answer is cut off, as long as that takes no longer than is granted.

Envoy asks its callers to go (`connection: close`, GOAWAY) and still serves whoever comes, until its drain time is over.
What then is still in flight goes on until the process itself is ended.
"""

import logging
import time

from services.launcher import admin

_log = logging.getLogger("launcher")
# Callers of the control plane are not counted: their watches and tails never end, and they come back by themselves.
_ACTIVE = "http.data.downstream_rq_active"
_TIMEOUT_SECONDS = 2.0


def drain(page: str, *, timeout: float, poll: float = 0.05) -> int:
    """Waits until no prediction is in flight; how many still are after `timeout` seconds. Knows none of a gateway whose
    admin page, at the socket `page`, does not answer."""
    ends = time.monotonic() + timeout
    try:
        admin.ask(page, "POST", "/drain_listeners?graceful", timeout=_TIMEOUT_SECONDS)
        while (left := _in_flight(page)) and time.monotonic() < ends:
            time.sleep(poll)
    except admin.Unreachable as error:
        _log.warning("the gateway is ended without draining: %s", error)
        return 0
    return left


def _in_flight(page: str) -> int:
    text = admin.ask(page, "GET", f"/stats?filter=^{_ACTIVE}$", timeout=_TIMEOUT_SECONDS)
    # Empty before the data listener was there.
    return int(text.rpartition(":")[2] or 0)
