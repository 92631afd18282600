"""Settings of the apiserver, from CORTEX_* variables; README.md has them as a table."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Addresses are host:port, sizes bytes."""

    listen: str = "127.0.0.1:0"
    node_address: str = "127.0.0.1:8891"
    # The gateway's listener for predictions, as configured by xDS.
    data_address: str = "127.0.0.1:8888"
    # How callers reach it, for the URLs shown in statuses; empty: http:// and the data address.
    gateway_url: str = ""
    home: pathlib.Path = dataclasses.field(default_factory=lambda: pathlib.Path.home() / ".cortex")
    # sqlite:///path or postgresql://user@host/name; empty: SQLite in the home folder.
    database_url: str = ""
    log_level: str = "info"
    max_bundle_bytes: int = 512 * 1024**2
    # Watches of APIs and events together.
    max_streams: int = 1000

    @property
    def folder(self) -> pathlib.Path:
        return self.home / "apiserver"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.folder / 'cortex.db'}"

    @property
    def access_log(self) -> pathlib.Path:
        return self.home / "logs" / "gateway" / "access.log"

    @property
    def url(self) -> str:
        host, _, port = self.data_address.rpartition(":")
        # A listener on every address is reached by one of them.
        shown = "127.0.0.1" if host in ("0.0.0.0", "[::]", "") else host
        return (self.gateway_url or f"http://{shown}:{port}").rstrip("/")
