"""Models on Triton and on the engine without it pass our suite at the replica's doors, where Triton's own do not."""

import pathlib

import pytest

from tests.conformance import oip_model
from tests.conformance.oip import runner
from tests.conformance.oip.target import Target
from tests.triton import replicas


@pytest.mark.parametrize("engine", replicas.ENGINES)
@pytest.mark.parametrize("model", ["double", "echo_text"])
def test_every_case_of_the_protocol_passes(tmp_path: pathlib.Path, engine: str, model: str) -> None:
    config = {**oip_model.config(tmp_path), **replicas.settings(engine)}
    with replicas.serving(tmp_path, engine, [model], config=config) as served:
        target = Target(f"127.0.0.1:{served.http_port}", served.grpc_address, model, token=oip_model.TOKEN)
        target.discover()
        verdicts = list(runner.run(target, runner.all_cases(), {}))
    assert [(one.case.id, one.told, one.sent) for one in verdicts if one.word not in ("PASS", "SKIP")] == []
    assert sum(one.word == "PASS" for one in verdicts) >= 150
