"""The range reaches the worker before its code runs, and a restarted worker takes its own again."""

import os
import pathlib
import signal

from tests.runtime import replica

SOURCE = """
    import os
    print(os.getpid(), "owns", os.environ["NEURON_RT_VISIBLE_CORES"])

    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, payload):
            return payload
"""


def owners(api: replica.Replica) -> dict[int, str]:
    """Cores by pid, as the workers themselves saw them."""
    told = [line["message"].split(" owns ") for line in api.lines() if " owns " in line["message"]]
    return {int(pid): cores for pid, cores in told}


def test_workers_own_their_cores_for_good(tmp_path: pathlib.Path) -> None:
    config = {"neuronCoreFirst": 4, "neuronCoreCount": 4}
    predictor = {"processesPerReplica": 2, "worker": {"start": "WORKER_START_SPAWN"}}
    with replica.running(tmp_path, SOURCE, predictor=predictor, config=config) as api:
        replica.wait_for(lambda: len(owners(api)) == 2)
        assert sorted(owners(api).values()) == ["4-5", "6-7"]
        victim, cores = next(iter(owners(api).items()))
        os.kill(victim, signal.SIGKILL)
        replica.wait_for(lambda: len(owners(api)) == 3)
        assert list(owners(api).values())[2] == cores


def test_cores_that_cannot_be_shared_end_the_replica(tmp_path: pathlib.Path) -> None:
    config, predictor = {"neuronCoreCount": 4}, {"processesPerReplica": 3}
    with replica.running(tmp_path, SOURCE, predictor=predictor, config=config, ready=False) as api:
        replica.wait_for(lambda: api.process.poll() is not None)
        assert "cannot share 4 Neuron cores" in api.state["failure"]["message"]
