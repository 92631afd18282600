"""Settings of the node, from CORTEX_* variables; README.md has them as a table."""

import dataclasses
import pathlib
import shlex
import sys


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Addresses are host:port, sizes bytes, durations seconds."""

    listen: str
    apiserver_address: str
    home: pathlib.Path = dataclasses.field(default_factory=lambda: pathlib.Path.home() / ".cortex")
    monitor_address: str = ""
    log_level: str = "info"
    # Started as `<command> --config <file>`; empty: this platform's own runtime.
    runtime_command: str = ""
    replica_first_port: int = 20000
    replica_last_port: int = 29999
    # Time the workers of a replica may take to load.
    start_timeout: float = 600.0
    # Time one environment may take to build.
    build_timeout: float = 1800.0
    # Environments and bundles that no replica uses are removed, longest unused first, above this size.
    cache_bytes: int = 10 * 1024**3
    # Bytes the cache of models may take; 0: nine tenths of its file system.
    model_cache_bytes: int = 0
    # Folder of a Triton installation; empty: looked for in the usual places.
    triton_home: str = ""
    # Inferentia and Trainium devices of this machine, and cores of each; 0 devices: those the driver shows.
    neuron_devices: int = 0
    neuron_cores_per_device: int = 2
    # auto: cgroup where one is writable, else watch; cgroup; watch.
    memory_enforcement: str = "auto"
    # Cgroup folder handed to us, where memory limits may be set; empty: the one this process is in.
    cgroup: str = ""

    @property
    def folder(self) -> pathlib.Path:
        return self.home / "node"

    @property
    def model_cache(self) -> pathlib.Path:
        """Shared by all replicas of this machine."""
        return self.folder / "models"

    @property
    def triton(self) -> str:
        """The Triton that replicas are told of: the one of the settings, else the cluster's own where there is one."""
        own = self.home / "triton"
        return self.triton_home or (str(own) if own.is_dir() else "")

    @property
    def replica_logs(self) -> pathlib.Path:
        """Below it: namespace, API, revision, and a file per replica."""
        return self.home / "logs" / "replicas"

    def runtime(self) -> tuple[str, ...]:
        if self.runtime_command:
            return tuple(shlex.split(self.runtime_command))
        return (sys.executable, "-P", "-m", "runtime")
