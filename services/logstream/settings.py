"""Settings of logstream, from CORTEX_* variables."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Defaults suit a laptop. `log_` settings beyond the level carry a unit in their names."""

    listen: str = "127.0.0.1:0"
    home: pathlib.Path = dataclasses.field(default_factory=lambda: pathlib.Path.home() / ".cortex")
    log_level: str = "info"
    apiserver_address: str = "127.0.0.1:1"
    logstream_most_streams: int = 64
    logstream_window_ms: int = 250
    logstream_backlog_bytes: int = 64 * 1024 * 1024
    logstream_threads: int = 4
