"""A replica whose limits for slow callers are short: python -m tests.runtime.impatient --config replica.json.

The kernel keeps little for each connection, so that what a caller does not take waits in the front.
"""

import socket
import sys
from typing import Any

from runtime import __main__ as entry
from runtime import guard, http_door

_SECONDS = 6.0
_KERNEL_BYTES = 32 * 1024


def main() -> int:
    watch = guard.Guard()
    http_door.HEAD_SECONDS = http_door.BODY_SECONDS = http_door.STALLED_SECONDS = _SECONDS
    http_door.LINGER_SECONDS = 1.0
    make = socket.create_server

    def create_server(*given: Any, **named: Any) -> socket.socket:
        made = make(*given, **named)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)
        return made

    socket.create_server = create_server
    return entry.main(watch)


if __name__ == "__main__":
    sys.exit(main())
