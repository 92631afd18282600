"""Our runtime passes every case of our suite, with a model of whole numbers and one of text and fractions."""

import pathlib
import socket
from collections.abc import Iterator

import pytest

from tests.conformance import oip_model
from tests.conformance.oip import runner
from tests.conformance.oip.target import Target
from tests.runtime import replica

CASES = runner.all_cases()


@pytest.fixture(scope="module", params=["SIMPLE", "TEXT"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder: pathlib.Path = tmp_path_factory.mktemp("oip")
    source = getattr(oip_model, request.param)
    with replica.running(folder, source, config=oip_model.config(folder)) as served:
        found = Target(f"127.0.0.1:{served.http_port}", served.grpc_address, "demo", token=oip_model.TOKEN)
        found.discover()
        yield found


def test_every_case_passes(target: Target) -> None:
    verdicts = list(runner.run(target, CASES, {}))
    assert [(one.case.id, one.told, one.sent) for one in verdicts if one.word not in ("PASS", "SKIP")] == []
    assert sum(one.word == "PASS" for one in verdicts) >= 150
    # What one model has nothing for, the other has.
    kinds = {told["datatype"] for told in target.metadata["inputs"]}
    skipped = {one.case.id for one in verdicts if one.word == "SKIP"}
    assert all("bytes" in case or case == "bad-element-infinite" for case in skipped) or kinds == {"BYTES", "FP32"}


def test_ids_are_unique_and_declared_differences_name_cases() -> None:
    ids = [case.id for case in CASES]
    assert len(set(ids)) == len(ids)
    assert set(runner.differences("triton")) <= set(ids)
    assert runner.differences("cortex") == {}


def test_a_server_that_dies_ends_the_run_with_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody answers
        dead = Target(f"127.0.0.1:{taken.getsockname()[1]}", None, "demo")
        dead.metadata = {"inputs": [], "outputs": [], "versions": []}
        words = [verdict.word for verdict in runner.run(dead, CASES[:3], {})]
    assert words == ["FAIL", "SKIP", "SKIP"]
