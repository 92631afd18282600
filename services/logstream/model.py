"""The words of logstream: what is asked for, a line of log, and the knowledge that lines are missing.

Times are nanoseconds since the epoch (UTC) as integers, because that is what sorts and compares exactly.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """Which lines of which API. An empty `replicas`, `revision`, `min_level`, `trace_id` or `grep` means all.

    A replica whose log begins before `born_ns` belonged to an API of the same name that was deleted.
    """

    namespace: str
    api: str
    follow: bool = False
    since_ns: int = 0
    tail_lines: int = 0
    grep: str = ""
    replicas: frozenset[str] = frozenset()
    revision: str = ""
    min_level: str = ""
    trace_id: str = ""
    born_ns: int = 0

    def identity(self) -> tuple[str, ...]:
        """What a resume token is bound to: the API. Filters may change; the place in the log stays."""
        return (self.namespace, self.api)


@dataclasses.dataclass(slots=True, eq=False)
class Entry:
    """One line, or, with `loss` set, the notice that `lost` lines (0: nobody knows) are missing here.

    `start` is where the source found it, `sent` whether it has left; both belong to the source's bookkeeping.
    """

    time_ns: int
    level: str = "info"
    message: str = ""
    worker: str = ""
    source: str = "stdout"
    trace_id: str = ""
    span_id: str = ""
    request_id: str = ""
    fields: dict[str, Any] | None = None
    replica: str = ""
    revision: str = ""
    loss: str = ""
    lost: int = 0
    start: int = 0
    sent: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """What one read gave. Nothing written so far and still unread is older than `floor_ns`; None: all has been read."""

    entries: Sequence[Entry]
    floor_ns: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What goes out as one message: entries, or one loss, or neither (a heartbeat); and where to go on."""

    entries: Sequence[Entry]
    token: str
    loss: Entry | None = None
