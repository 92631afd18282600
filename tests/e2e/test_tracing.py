"""One W3C trace from the caller through Envoy, the runtime and the worker, and one through the control plane."""

import asyncio
import json
import secrets

import pytest

from tests.e2e import cluster as clusters
from tests.e2e.test_zero import post_with
from tests.fakes import otlp

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_a_prediction_is_one_connected_tree_and_its_log_lines_carry_it() -> None:
    with otlp.Collector() as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with clusters.running(environ) as cluster:
            await asyncio.to_thread(cluster.deploy, cluster.project("probe"))
            trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
            headers = {"content-type": "application/json", "traceparent": f"00-{trace_id}-{caller}-01"}
            reply = await post_with(cluster.data_address, "/probe", b'{"log": "hello from inside"}', headers)
            assert reply.status == 200
            wanted = {"cortex-gateway", "cortex-runtime"}

            def complete() -> list[otlp.Span]:
                spans = collector.spans(trace_id)
                names = {span.name for span in spans}
                return spans if {s.service for s in spans} >= wanted and any("predict" in n for n in names) else []

            spans = await asyncio.to_thread(clusters.wait_for, complete, "the spans of the prediction", 30)
            print("\n" + "\n".join(f"{s.service:16} {s.name:40} {s.span_id} <- {s.parent_id}" for s in spans))
            roots = otlp.roots(spans)
            assert [root.parent_id for root in roots] == [caller], "the tree hangs on the caller's span, in one piece"
            lines = cluster.run("logs", "probe", "--trace", trace_id, "--json").splitlines()
            assert any("hello from inside" in json.loads(line)["message"] for line in lines)
            deploys = [s for s in collector.spans() if s.service == "cortex-apiserver" and "UpdateApi" in s.name]
            assert deploys, "control-plane RPCs are traced too"
