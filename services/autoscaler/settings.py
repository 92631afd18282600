"""Settings of the autoscaler, read once from CORTEX_* variables."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    listen: str
    """host:port of the gRPC server; the gateway's load reports and held requests arrive here too."""

    apiserver_address: str
    """host:port of the apiserver."""

    log_level: str = "info"
    """debug, info, warning or error."""

    autoscaler_interval: float = 1.0
    """Seconds between two decisions about an API."""

    autoscaler_report_interval: float = 0.5
    """Seconds between two load reports of a gateway. Longer saves work and sees less of short bursts."""
