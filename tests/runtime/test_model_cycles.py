"""Models that come and go leave the memory of a replica as it was. CORTEX_MODEL_CYCLES (default 200) sets how often."""

import os
import pathlib

import httpx

from tests.runtime import replica as replicas

CYCLES = int(os.environ.get("CORTEX_MODEL_CYCLES", "200"))
MODEL_BYTES = 4 << 20
SOURCE = """
import pathlib

class Model:
    def __init__(self, data):
        self.data = data
        self.itself = self                    # a cycle, which only the collector frees
        self.pieces = [bytes(1000) for _ in range(500)]

class PythonPredictor:
    def __init__(self, config, python_client):
        self.client = python_client

    def load_model(self, path):
        return Model((pathlib.Path(path) / "weights.bin").read_bytes())

    def predict(self, query_params):
        return len(self.client.get_model(query_params["model"]).data)
"""


def pss(pid: int) -> int:
    """Bytes that this process has to itself, and its share of what it has with others."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def test_load_and_unload_cycles_leave_memory_bounded(tmp_path: pathlib.Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "weights.bin").write_bytes(bytes(MODEL_BYTES))
    declared = {"dir": str(tmp_path / "models"), "memory_budget": MODEL_BYTES + 1000}
    with replicas.running(tmp_path, SOURCE, predictor={"models": declared}) as replica:
        address = f"http://127.0.0.1:{replica.http_port}"
        with httpx.Client(base_url=address, timeout=replicas.WAIT_SECONDS, verify=False) as client:

            def cycle(count: int) -> tuple[int, int]:
                for index in range(count):
                    answer = client.post("/", params={"model": "abc"[index % 3]})
                    assert answer.status_code == 200, answer.text
                return pss(replica.worker_pids[0]), pss(replica.process.pid)

            worker, front = cycle(60)
            worker_after, front_after = cycle(CYCLES)
    said = f"worker {worker >> 10} -> {worker_after >> 10} KiB, front {front >> 10} -> {front_after >> 10} KiB"
    print(f"{CYCLES} cycles: {said}")
    assert worker_after - worker < MODEL_BYTES and front_after - front < MODEL_BYTES
