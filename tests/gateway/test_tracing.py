"""The gateway begins a trace, or continues the caller's, and hands it on."""

import pathlib

from tests.fakes import otlp
from tests.gateway import replicas
from tests.gateway import rig as rigs

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_a_span_named_by_the_api_stands_between_caller_and_replica(tmp_path: pathlib.Path) -> None:
    with otlp.Collector() as collector:
        port = int(collector.endpoint.rpartition(":")[2])
        async with rigs.running(tmp_path, port) as rig, replicas.started() as [replica]:
            await rig.publish(rigs.route("text", {"r1": (100, [replica.endpoint])}))
            await rig.ask("/text", traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
            [span] = await rigs.until(lambda: collector.spans(TRACE), "the span")
            assert (span.service, span.name, span.parent_id) == ("cortex-gateway", "default/text", "b7ad6b7169203331")
            assert replica.headers["traceparent"] == f"00-{TRACE}-{span.span_id}-01"
            await rig.ask("/text")
            assert replica.headers["traceparent"].split("-")[1] != TRACE
