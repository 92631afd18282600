"""How workers with PyTorch start: each an interpreter of its own, or forked from one that has not touched a GPU."""

import concurrent.futures
import time
from typing import Any

from tests.gpu.stand import PROJECTS, Stand
from tests.runtime.replica import Replica, wait_for

_WORKERS = 2
_FALLBACK = "workers get an interpreter of their own"


def workers(stand: Stand, replica: Replica) -> list[int]:
    """Those that have answered: all, before long."""
    body, seen = stand.requests()[0], set[int]()

    def all_answered() -> bool:
        # The least loaded worker is next, so several have to be asked at the same time.
        with concurrent.futures.ThreadPoolExecutor(4 * _WORKERS) as pool:
            replies = pool.map(lambda _: replica.client.post("/", content=body, headers=_JSON), range(8 * _WORKERS))
            seen.update(reply.raise_for_status().json()["pid"] for reply in replies)
        return len(seen) == _WORKERS

    wait_for(all_answered, 30.0)
    return sorted(seen)


_JSON = {"content-type": "application/json"}
_FORK_SERVER = {"start": "WORKER_START_FORK_SERVER"}
_LIBRARIES: dict[str, Any] = {"env": {"PYTHONPATH": str(PROJECTS / "libraries")}}
# Without OpenMP's threads, which the constructor would start where it computes on the CPU.
_FORK_LOADED: dict[str, Any] = {"env": {"OMP_NUM_THREADS": "1"}, "worker": {"start": "WORKER_START_FORK_LOADED"}}


def check(stand: Stand) -> None:
    stand.prepare()
    stand.attempt(_serves, "compute.gpu: 1", forked=False, spec={"compute": {"gpus": 1}})
    stand.attempt(_serves, "fork server, torch at the top", forked=True)
    stand.attempt(_serves, "fork server, preload: [torch]", forked=True, worker={**_FORK_SERVER, "preload": ["torch"]})
    stand.attempt(
        _serves, "fork-loaded, to the GPU in after_fork", forked=True, config={"early": False}, **_FORK_LOADED
    )
    stand.attempt(
        _is_refused, "the constructor computes on the CPU with four threads", "OpenMP", {"early": False}, threads=4
    )
    if stand.on_gpu:
        for library in ("initialises", "looks"):
            stand.attempt(_falls_back, f"preload of a library that {library}", library)
        stand.attempt(_is_refused, "the constructor moves the model to the GPU", "CUDA", {"early": True})
        stand.attempt(
            _is_refused, "the constructor asks torch.cuda.is_available()", "CUDA", {"early": False, "asks": True}
        )


def _serves(stand: Stand, what: str, *, forked: bool, **told: Any) -> None:
    began = time.monotonic()
    with stand.served("blocks", processesPerReplica=_WORKERS, **told) as replica:
        seconds = time.monotonic() - began
        stand.expect_right(replica, f"{what}, ready after {seconds:.1f} s")
        server = replica.state["fork_server"]
        stand.expect((server is not None) == forked, f"{what}: fork server {server}")
        said = [line["message"] for line in replica.lines() if _FALLBACK in line["message"]]
        stand.expect(not said, f"{what}: nothing said of a fall-back {said or ''}")
        stand.expect_on_gpu(workers(stand, replica), what)


def _falls_back(stand: Stand, what: str, library: str) -> None:
    """A preloaded library of this kind has touched the GPU before the fork."""
    told = {**_LIBRARIES, "worker": {**_FORK_SERVER, "preload": [library]}}
    with stand.served("blocks", processesPerReplica=_WORKERS, **told) as replica:
        line = replica.wait_line(_FALLBACK)["message"]
        stand.expect("CUDA" in line, f"{what}: {line}")
        stand.expect_right(replica, what)
        stand.expect_on_gpu(workers(stand, replica), what)


def _is_refused(stand: Stand, what: str, why: str, config: dict[str, bool], threads: int = 1) -> None:
    told = {**_FORK_LOADED, "env": {"OMP_NUM_THREADS": str(threads)}}
    with stand.served("blocks", ready=False, config=config, **told) as replica:
        wait_for(lambda: replica.state["state"] == "READY" or replica.process.poll() is not None, 90)
        failure = replica.state.get("failure") or {}
        refused = replica.process.poll() == 1 and why in failure.get("message", "")
        stand.expect(refused, f"fork-loaded, {what}: refused: {failure or replica.state}")
