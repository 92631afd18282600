"""What of a Triton server's output reaches the log of a replica."""

import json
import pathlib

from runtime import logs
from runtime.triton.server import ServerLines

QUIET = r"""
W1126 11:11:30.006690 7912 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory: CUDA driver version"
I1126 11:11:30.006713 7912 cuda_memory_manager.cc:117] "CUDA memory pool disabled"
E1126 11:11:30.006816 7912 server.cc:241] "CudaDriverHelper has not been initialized."
E1126 11:11:30.006816 7912 server.cc:248] "CacheManager Init Failed. Error: 17"
E1126 11:11:30.340189 79 ensemble_scheduler.cc:146] "unable to create stream for e: CUDA driver version is insufficient"
+-------+---------+--------+
| Model | Version | Status |
"""
TOLD = r"""
E1126 11:12:01.000001 7912 model_lifecycle.cc:642] "failed to load 'm': torch.OutOfMemoryError: CUDA out of memory"
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB
the NVML of this model
"""


def test_a_model_may_speak_of_cuda(tmp_path: pathlib.Path) -> None:
    log = logs.LogFile(str(tmp_path / "log"), "info")
    lines = ServerLines(log, logs.Tail(), {})
    lines.data_received((QUIET + TOLD).encode())
    log.close()
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["message"] for line in told] == TOLD.strip().splitlines()
    assert [line["level"] for line in told] == ["error", "info", "info"]
