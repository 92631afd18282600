"""A process that the user's code has forked off a worker is no worker.

It has inherited the worker's sockets and, where the fork was made in a request, the middle of what serves it. Were it
to come back from there, two processes would read the same requests and answer the same callers. So it loses the sockets
that requests and answers go by at once, and ends where its part of the user's code ends.
"""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Sequence

from . import control, logs


def separate(sockets: Sequence[socket.socket], registry: control.Registry, channel: logs.LogChannel) -> None:
    """For every fork that this process makes from now on."""

    def in_child() -> None:
        registry.forked = end
        channel.forked()
        for sock in sockets:
            sock.close()

    os.register_at_fork(after_in_child=in_child)


def end(error: BaseException | None) -> None:
    """As Python would end it, but without what the worker has registered for its own end."""
    status = 0
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = error.code or 0
    elif error is not None:
        traceback.print_exception(type(error), error, error.__traceback__)
        status = 1
    os._exit(status & 0xFF)
