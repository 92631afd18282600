"""What nvidia-smi tells of the GPUs."""

import shutil
import subprocess


def _ask(*query: str) -> list[list[str]]:
    command = ["nvidia-smi", *query, "--format=csv,noheader,nounits"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    return [[cell.strip() for cell in line.split(",")] for line in told.splitlines()]


def lacking() -> str:
    """Why there is no GPU to check anything on; empty when there is one."""
    if shutil.which("nvidia-smi") is None:
        return "there is no nvidia-smi, so no NVIDIA driver"
    try:
        return "" if describe() else "nvidia-smi lists no GPU"
    except subprocess.CalledProcessError as error:
        return f"nvidia-smi failed: {error.stdout.strip() or error.stderr.strip()}"


def describe() -> str:
    return "; ".join(", ".join(row) for row in _ask("--query-gpu=name,memory.total,driver_version"))


def used() -> int:
    """MiB, of all GPUs and processes."""
    return sum(int(row[0]) for row in _ask("--query-gpu=memory.used"))


def processes() -> dict[int, str]:
    """Process ids and MiB; empty where the driver does not tell, as in some sandboxes."""
    return {int(row[0]): row[1] for row in _ask("--query-compute-apps=pid,used_memory") if row[0].isdigit()}
