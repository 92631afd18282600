"""Settings of the monitor, from CORTEX_* variables."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Defaults suit a laptop. An empty `monitor_database_url` means SQLite below `home`."""

    listen: str = "127.0.0.1:0"
    home: pathlib.Path = dataclasses.field(default_factory=lambda: pathlib.Path.home() / ".cortex")
    log_level: str = "info"
    monitor_database_url: str = ""
    metrics_address: str = "127.0.0.1:0"
    monitor_save_seconds: float = 5.0
    monitor_most_replicas: int = 5000

    def database_url(self) -> str:
        return self.monitor_database_url or f"sqlite:///{self.home}/monitor/monitor.db"
