"""A stand-in for any service of a cluster: listens where its environment says, ends on SIGTERM. Standard library only.

`python fake_service.py NAME`; the gateway listens on its two addresses and a socket file.
"""

import contextlib
import os
import signal
import socket
import sys

_GATEWAY = ("CORTEX_CONTROL_ADDRESS", "CORTEX_DATA_ADDRESS")


def main() -> None:
    names = _GATEWAY if sys.argv[1] == "gateway" else ("CORTEX_LISTEN",)
    doors = []
    for name in names:
        host, _, port = os.environ[name].rpartition(":")
        doors.append(socket.create_server((host, int(port)), backlog=64))
    if sys.argv[1] == "gateway":
        path = os.environ["CORTEX_ADMIN_SOCKET"]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        doors.append(socket.create_server(path, family=socket.AF_UNIX))
    print(f"{sys.argv[1]} listens on {len(doors)} doors", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
