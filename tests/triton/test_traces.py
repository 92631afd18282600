"""Triton's spans join the caller's trace when that is sampled, and only then."""

import pathlib

import pytest

from tests.runtime import collectors, replica
from tests.triton import replicas
from tests.triton.test_faults import DOUBLE

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.mark.parametrize("engine", replicas.ENGINES)
def test_spans_of_the_model_hang_below_ours(engine: str, tmp_path: pathlib.Path) -> None:
    collector = collectors.Collector()
    with collectors.serving(collector, collectors.Monitor()) as address:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with replicas.serving(tmp_path, engine, ["double"], environ=replicas.environ(engine) | environ) as api:
            for traceparent in (UNSAMPLED, SAMPLED):
                reply = api.client.post("/v2/models/double/infer", json=DOUBLE, headers={"traceparent": traceparent})
                assert reply.status_code == 200
            wanted = 4 if engine == "triton" else 1
            replica.wait_for(lambda: len(collector.spans) >= wanted)
    assert {span.trace_id.hex() for span in collector.spans} == {SAMPLED.split("-")[1]}
    by_name = {span.name: span for span in collector.spans}
    assert by_name["infer"].parent_span_id.hex() == SAMPLED.split("-")[2]
    if engine == "triton":
        assert set(by_name) == {"infer", "InferRequest", "double", "compute"}
        assert by_name["InferRequest"].parent_span_id == by_name["infer"].span_id
