"""`python -m services.node.survey`: what this machine offers to replicas, for `cortex doctor`.

Answers with `{"checks": [{"name", "state", "found", "next"}]}` as JSON on stdout. `state` is `ok`, `missing` (something
the platform cannot do without), or `absent` (something that some projects need). `next` says what to do, if anything.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from services.chassis import settings as loader
from services.node import conda, cpu_weights, installer, interpreters, limits, machine, neuron

_GIB = 1024**3
_LITTLE_ROOM = 5 * _GIB
_LITTLE_SHM = 64 * 1024**2
_SECONDS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Of the node's settings those that matter here, under the same names."""

    home: pathlib.Path = dataclasses.field(default_factory=lambda: pathlib.Path.home() / ".cortex")
    memory_enforcement: str = "auto"
    cgroup: str = ""
    neuron_devices: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    name: str
    state: str
    found: str
    next: str = ""


def survey(chosen: Settings, environ: Mapping[str, str]) -> list[Check]:
    return [
        _pythons(environ),
        _uv(environ),
        _conda(environ),
        *_enforcement(chosen),
        _processors(),
        _shared_memory(pathlib.Path("/dev/shm")),  # noqa: S108  # it is measured, not written to
        *_room(chosen.home),
        _gpus(environ),
        _neuron(chosen),
    ]


def _pythons(environ: Mapping[str, str]) -> Check:
    found = interpreters.versions(environ.get("PATH", ""))
    return Check("Python", "ok", ", ".join(found))


def _uv(environ: Mapping[str, str]) -> Check:
    uv = installer.find_uv(environ)
    version = _said([uv, "--version"]) if uv else ""
    if not version:
        return Check("uv", "missing", "not found", "pip install uv, or name it in CORTEX_UV")
    return Check("uv", "ok", f"{version} ({uv})")


def _conda(environ: Mapping[str, str]) -> Check:
    tool = conda.find(environ)
    if tool is None:
        hint = "install micromamba for projects with a conda-packages.txt, or name a conda in CORTEX_CONDA"
        return Check("conda", "absent", "neither micromamba, mamba nor conda", hint)
    version = _said([tool, "--version"]).rpartition("\n")[2] or "version unknown"
    return Check("conda", "ok", f"{version} ({tool})")


def _enforcement(chosen: Settings) -> Iterator[Check]:
    root, own = pathlib.Path("/sys/fs/cgroup"), limits.own_cgroups()
    try:
        memory = limits.choose(chosen.memory_enforcement, chosen.cgroup, "doctor", root=root, own=own)
    except loader.SettingsError as error:
        yield Check("memory limits", "missing", str(error), "mend CORTEX_MEMORY_ENFORCEMENT or CORTEX_CGROUP")
        return
    delegate = "delegate a cgroup to your user and name it in CORTEX_CGROUP"
    yield Check("memory limits", "ok", limits.describe(memory), "" if memory.name == "cgroup" else delegate)
    weights = cpu_weights.choose(chosen.cgroup, "doctor", root=root, own=own)
    yield Check("processor shares", "ok", cpu_weights.describe(weights), "" if weights.name == "cgroup" else delegate)


def _processors() -> Check:
    return Check("machine", "ok", f"{machine.cpus()} processors, {machine.memory_bytes() / _GIB:.1f} GiB of memory")


def _shared_memory(folder: pathlib.Path) -> Check:
    if not folder.is_dir():
        return Check("shared memory", "absent", f"no {folder}", "large tensors go through sockets instead")
    usage = shutil.disk_usage(folder)
    text = f"{usage.total / 1024**2:.0f} MiB in {folder}, {usage.free / 1024**2:.0f} MiB free"
    little = "raise it (docker run --shm-size=1g): workers and Triton pass large tensors through it"
    return Check("shared memory", "ok", text, little if usage.total <= _LITTLE_SHM else "")


def _room(home: pathlib.Path) -> Iterator[Check]:
    """Of the folder of environments and bundles, and of the cache of models, which may be elsewhere by a link."""
    for name, folder in (("environments", home / "node"), ("model cache", home / "node/models")):
        there = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(there.resolve()).free
        hint = f"free some, or set CORTEX_HOME to a larger disk than {there}" if free < _LITTLE_ROOM else ""
        yield Check(
            f"room for {name}", "ok" if not hint else "missing", f"{free / _GIB:.1f} GiB free for {folder}", hint
        )


def _gpus(environ: Mapping[str, str]) -> Check:
    tool = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if tool is None:
        return Check("GPUs", "absent", "no nvidia-smi", "for GPUs install NVIDIA's driver")
    listed = _said([tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"])
    if not listed:
        return Check("GPUs", "absent", f"{tool} lists none", "run nvidia-smi; the driver may not be loaded")
    return Check("GPUs", "ok", "; ".join(listed.splitlines()))


def _neuron(chosen: Settings) -> Check:
    count = chosen.neuron_devices or neuron.count(pathlib.Path("/dev"))
    if not count:
        return Check("Neuron devices", "absent", "none in /dev", "for Inferentia install the aws-neuronx-dkms driver")
    return Check("Neuron devices", "ok", f"{count}")


def _said(command: list[str]) -> str:
    """What a program prints; empty when it cannot be run, fails, or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def main() -> None:
    checks: list[dict[str, Any]] = [
        dataclasses.asdict(check) for check in survey(loader.load_or_exit(Settings, os.environ, "survey"), os.environ)
    ]
    json.dump({"checks": checks}, sys.stdout)


if __name__ == "__main__":
    main()
