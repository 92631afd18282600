"""Where everything of one cluster lies below CORTEX_HOME."""

import dataclasses
import pathlib
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    home: pathlib.Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Layout":
        given = environ.get("CORTEX_HOME")
        return cls(pathlib.Path(given).expanduser().absolute() if given else pathlib.Path.home() / ".cortex")

    def create(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        # Bundles, logs and databases of the user lie here: nobody else reads them.
        self.home.chmod(0o700)
        for folder in (self.service_logs, self.gateway_logs, self.gateway, self.launcher, self.stopped):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def cluster(self) -> pathlib.Path:
        return self.home / "cluster.json"

    @property
    def launcher(self) -> pathlib.Path:
        return self.home / "launcher"

    @property
    def up_lock(self) -> pathlib.Path:
        """Held by one `up` or `down` at a time."""
        return self.launcher / "up.lock"

    @property
    def supervisor_lock(self) -> pathlib.Path:
        """Held by the supervisor for as long as it lives."""
        return self.launcher / "supervisor.lock"

    @property
    def drain_timeout(self) -> pathlib.Path:
        """Seconds `down` grants the replicas, read by the supervisor when it is told to stop."""
        return self.launcher / "drain_timeout"

    @property
    def stopped(self) -> pathlib.Path:
        """A file with the name of a service keeps that service down."""
        return self.launcher / "stopped"

    @property
    def service_logs(self) -> pathlib.Path:
        return self.home / "logs/services"

    @property
    def gateway_logs(self) -> pathlib.Path:
        return self.home / "logs/gateway"

    @property
    def gateway(self) -> pathlib.Path:
        return self.home / "gateway"

    @property
    def replicas(self) -> pathlib.Path:
        """The node's records."""
        return self.home / "node/replicas"
