"""`metrics_client`: metrics of the user's own. Values add up in the worker and leave once a second, on a thread."""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
from typing import Any

from . import asks

_SECONDS = 1.0
_LAST_SECONDS = 0.5
# Between two reports; more would hold memory for what nobody can read.
_MOST_SERIES = 1000
_MOST_VALUES = 10_000


class MetricsClient:
    """Takes what the ancestor's statsd client took. Never fails: what cannot be taken is a line in the log."""

    def __init__(self, asker: asks.Asker) -> None:
        self._asker = asker
        self._lock = threading.Lock()
        self._series: dict[Any, Any] = {}
        self._told: set[str] = set()
        self._pid = 0
        atexit.register(self._flush, _LAST_SECONDS)

    def gauge(self, metric: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Sets a value, until it is set again by any worker of the API."""
        self._take("gauge", metric, value, tags)

    def increment(self, metric: str, value: float = 1, tags: dict[str, str] | None = None) -> None:
        """Adds to a counter."""
        self._take("counter", metric, value, tags)

    def histogram(self, metric: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Adds a value to a distribution."""
        self._take("histogram", metric, value, tags)

    def _take(self, kind: str, metric: Any, value: Any, tags: Any) -> None:
        try:
            number = float(value)
            key = (kind, str(metric), tuple(sorted((str(name), str(tag)) for name, tag in dict(tags or {}).items())))
        except Exception as error:
            self._say(f"the {kind} {metric!r} was not taken: {error}")
            return
        if not math.isfinite(number) or (kind == "counter" and number < 0):
            self._say(f"the {kind} {metric!r} was not taken: {number} is no value for it")
            return
        with self._lock:
            if key not in self._series and len(self._series) >= _MOST_SERIES:
                self._say(f"more than {_MOST_SERIES} series of metrics in a second: the rest is not taken")
                return
            self._add(kind, key, number)
            begun, self._pid = self._pid == os.getpid(), os.getpid()  # a fork takes no thread along
        if not self._asker.listens:
            self._flush(10.0)  # in a process that is to be forked, where no thread may be
            self._pid = 0
        elif not begun:
            threading.Thread(target=self._run, name="cortex-metrics", daemon=True).start()

    def _add(self, kind: str, key: Any, number: float) -> None:
        if kind == "gauge":
            self._series[key] = number
        elif kind == "counter":
            self._series[key] = self._series.get(key, 0.0) + number
        else:
            values = self._series.setdefault(key, [])
            if len(values) < _MOST_VALUES:
                values.append(number)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(_SECONDS):
            self._flush(10.0)

    def _flush(self, timeout: float) -> None:
        with self._lock:
            taken, self._series = self._series, {}
        if not taken or self._pid != os.getpid():
            return
        series = [[kind, name, dict(tags), value] for (kind, name, tags), value in taken.items()]
        try:
            refused = self._asker.ask("metrics", {"series": series}, timeout=timeout)[0].get("refused", ())
        except Exception as error:
            refused = [f"metrics were lost: {error}"]
        for text in refused:
            self._say(str(text))

    def _say(self, text: str) -> None:
        """Once for each text."""
        if text not in self._told and len(self._told) < 100:
            self._told.add(text)
            logging.getLogger("cortex").warning("metrics_client: %s", text)
