"""Takes along what the user's code started when the front is killed.

A worker ends with the front at once (PDEATHSIG), and then nobody is left to end the programs in its process group. So
the replica forks a small process in a session of its own, first of all and while there is little to copy. It hears of
every group the front makes, and ends those that are left when the pipe to it closes.
"""

import contextlib
import os
import pathlib
import signal
import struct

_REGIONS = pathlib.Path("/dev/shm")  # noqa: S108  # where Linux keeps named regions
_NOTE = struct.Struct("<q")  # a group's id; negative when it has ended


class Guard:
    """The front's end."""

    def __init__(self) -> None:
        """Forks: to be called before there are threads."""
        ours, self._fd = os.pipe()
        front = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._fd)
            _watch(ours, front)
        os.close(ours)

    def began(self, group: int) -> None:
        self._tell(group)

    def ended(self, group: int) -> None:
        self._tell(-group)

    def _tell(self, note: int) -> None:
        # Without a guard the replica is still a replica.
        with contextlib.suppress(OSError):
            os.write(self._fd, _NOTE.pack(note))

    def close(self) -> None:
        """Lets it end; at once, as it has nothing else to do. Were it stopped, we would wait for ever."""
        os.close(self._fd)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _watch(fd: int, front: int) -> None:
    """Body of the guard; never returns."""
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        groups: set[int] = set()
        while note := os.read(fd, _NOTE.size):
            (group,) = _NOTE.unpack(note)
            if group > 0:
                groups.add(group)
            else:
                groups.discard(-group)
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        for pattern in (f"cortex-{front}-*", f"sem.cortex-{front}-*"):
            for region in _REGIONS.glob(pattern):
                region.unlink(missing_ok=True)
    finally:
        os._exit(0)
