"""What a replica tells about itself: log lines with ids, spans, and metrics."""

import concurrent.futures
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from runtime import tracing
from tests.runtime.collectors import Collector, Monitor, serving
from tests.runtime.replica import Replica, running, wait_for

SOURCE = """
import logging, os, subprocess, sys, threading, time

class Detached:
    def __repr__(self):
        raise RuntimeError("its session is over")

class PythonPredictor:
    def __init__(self, config):
        print("constructing")

    def predict(self, payload, query_params, headers):
        mode = query_params.get("mode")
        if mode == "log":
            print("printed", end=" ")
            print("in two parts")
            print("to stderr", file=sys.stderr)
            logging.getLogger("mine").info("logged %d", 7)
            logging.debug("too quiet")
            os.write(1, b"native line\\n")
            subprocess.run(["/bin/echo", "from a child"], check=True)
            threading.Thread(target=lambda: print("other thread")).start()
            print("no line end", end="")
        if mode == "structured":
            from cortex_internal.lib.log import logger as cortex_logger  # as the ancestor's documentation has it
            given = {"payload": payload, "worker": "mine", "odd": {(1, 2): 3}, "nan": float("nan")}
            given.update(detached=Detached(), long="x" * 10**6)
            cortex_logger.info("received payload", extra=given)
        if mode == "flood":
            for index in range(int(query_params["lines"])):
                print("flood", index, "x" * 1000)
        if mode == "traceparent":
            return headers["traceparent"]
        if mode == "predict":
            return {"label": payload["label"], "score": 1.0}
        return "ok"
"""
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with running(tmp_path_factory.mktemp("telemetry"), SOURCE) as found:
        yield found


def test_log_lines_know_their_request(replica: Replica) -> None:
    replica.client.post("/?mode=log", headers={"traceparent": PARENT, "x-request-id": "r-1"})
    known = {
        "printed in two parts": ("stdout", "info"),
        "to stderr": ("stderr", "error"),
        "logged 7": ("logging", "info"),
        "no line end": ("stdout", "info"),
    }
    for message, (source, level) in known.items():
        line = replica.wait_line(message)
        assert (line["message"], line["source"], line["level"], line["worker"]) == (message, source, level, "w0")
        assert (line["trace_id"], line["span_id"], line["request_id"]) == (TRACE, SPAN, "r-1")
        assert line["time"].endswith("Z") and len(line["time"]) == 27
    for message in ("native line", "from a child", "other thread", "constructing"):
        line = replica.wait_line(message)
        assert (line["worker"], line["request_id"]) == ("w0", "")
    assert not any("too quiet" in line["message"] for line in replica.lines())
    replica.client.post("/?mode=log", headers={"traceparent": "00-nonsense-x-01", "x-request-id": "r-2"})
    wait_for(lambda: [x for x in replica.lines() if x["request_id"] == "r-2" and x["message"] == "logged 7"])


def test_what_a_log_call_adds_are_fields_of_its_line(replica: Replica) -> None:
    replica.client.post("/?mode=structured", json={"text": "awesome", "numbers": [1, 2]})
    line = replica.wait_line("received payload")
    assert line["payload"] == {"text": "awesome", "numbers": [1, 2]}
    assert (line["worker"], line["odd"], line["nan"]) == ("w0", "{(1, 2): 3}", "nan")
    assert line["detached"] == "<Detached>"
    assert line["long"].startswith('"xxx') and len(line["long"]) < 65536


def test_who_brings_no_trace_gets_one(replica: Replica) -> None:
    assert trace_of(replica, "t-1", "") != trace_of(replica, "t-2", "traceparent: 00-nonsense-x-01\r\n")


def trace_of(replica: Replica, name: str, header: str) -> str:
    """The one trace of all lines of a request, of which its caller hears nothing."""
    head = f"POST /?mode=log HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {name}\r\n{header}\r\n"
    assert b"traceparent" not in replica.raw(head.encode())

    def lines() -> list[dict[str, Any]]:
        return [line for line in replica.lines() if line["request_id"] == name]

    wait_for(lambda: any("no line end" in line["message"] for line in lines()))
    (found,) = {(line["trace_id"], line["span_id"]) for line in lines()}
    assert tracing.valid(f"00-{found[0]}-{found[1]}-00".encode())
    return str(found[0])


def test_every_line_of_a_flood_is_kept_or_counted(replica: Replica) -> None:
    count = 10_000  # below the size at which the file is rotated
    assert replica.client.post("/", params={"mode": "flood", "lines": count}).text == "ok"
    replica.client.post("/?mode=log")

    def accounted() -> bool:
        lines = replica.lines()
        dropped = sum(line.get("dropped", 0) for line in lines)
        return bool(sum(line["message"].startswith("flood") for line in lines) + dropped == count)

    wait_for(accounted)


def test_a_full_disk_does_not_stop_serving(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, SOURCE, config={"logFile": "/dev/full"}) as replica:
        for _ in range(20):
            assert replica.client.post("/?mode=log").text == "ok"


def test_spans_form_a_tree_with_the_callers(tmp_path: pathlib.Path) -> None:
    collector = Collector()
    with serving(collector, Monitor()) as address:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with running(tmp_path, SOURCE, environ=environ) as replica:
            told = replica.client.post("/?mode=traceparent", headers={"traceparent": PARENT}).text
            replica.client.post("/?mode=log", headers={"traceparent": PARENT, "x-request-id": "seen"})
            unsampled = {"traceparent": PARENT[:-2] + "00", "x-request-id": "unsampled"}
            replica.client.post("/?mode=log", headers=unsampled)
            wait_for(lambda: len(collector.spans) >= 4)
            line = wait_for(lambda: next((x for x in replica.lines() if x["request_id"] == "seen"), None))
            quiet = wait_for(lambda: next((x for x in replica.lines() if x["request_id"] == "unsampled"), None))
        servers = [span for span in collector.spans if span.parent_span_id.hex() == SPAN]
        assert (len(collector.spans), len(servers), collector.services) == (4, 2, {"cortex-runtime"})
        predicts = {span.parent_span_id: span for span in collector.spans if span.name == "predict"}
        assert set(predicts) == {span.span_id for span in servers}
        assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
        # The worker's lines and the user's own spans hang below the predict span.
        ids = {span.span_id.hex() for span in predicts.values()}
        assert line["trace_id"] == TRACE and line["span_id"] in ids
        assert told.split("-")[2] in ids
        assert quiet["trace_id"] == TRACE


def test_the_calls_of_a_batch_are_linked_to_its_span(tmp_path: pathlib.Path) -> None:
    source = """
    import pathlib, time
    class PythonPredictor:
        def predict(self, payload):
            print("run of", len(payload))
            while not pathlib.Path("go").exists():
                time.sleep(0.002)
            return payload
    """
    collector = Collector()
    with serving(collector, Monitor()) as address, concurrent.futures.ThreadPoolExecutor(4) as pool:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        predictor = {"serverSideBatching": {"maxBatchSize": 4, "batchInterval": "1s"}}
        with running(tmp_path, source, predictor=predictor, environ=environ) as replica:
            unsampled = {"traceparent": PARENT[:-2] + "00"}
            first = pool.submit(replica.client.post, "/", json=0, headers=unsampled)
            replica.wait_line("run of 1")
            asked = [pool.submit(replica.client.post, "/", json=n, headers={"traceparent": PARENT}) for n in range(3)]
            wait_for(lambda: replica.client.get("/info").json()["batching"]["waiting"] == 3)
            (tmp_path / "project" / "go").touch()
            assert [answer.result().status_code for answer in [first, *asked]] == [200] * 4
            wait_for(lambda: len(collector.spans) >= 7)
    (batch,) = [span for span in collector.spans if span.name == "batch"]
    predicts = {span.span_id for span in collector.spans if span.name == "predict"}
    assert ({link.span_id for link in batch.links}, batch.parent_span_id in predicts) == (predicts, True)


def test_without_an_exporter_the_context_passes_through(replica: Replica) -> None:
    assert replica.client.post("/", headers={"traceparent": PARENT}).status_code == 200
    assert replica.client.post("/?mode=traceparent", headers={"traceparent": PARENT}).text == PARENT


@pytest.mark.parametrize(("kind", "key"), [("CLASSIFICATION", "label"), ("REGRESSION", "score")])
def test_metrics_reach_the_monitor(tmp_path: pathlib.Path, kind: str, key: str) -> None:
    monitor = Monitor()
    spec = {"monitoring": {"modelType": f"MODEL_TYPE_{kind}", "key": key}}
    with serving(Collector(), monitor) as address:
        with running(tmp_path, SOURCE, spec=spec, config={"monitorAddress": address}) as replica:
            for label in ("cat", "cat", "dog"):
                replica.client.post("/?mode=predict", json={"label": label})
            replica.client.post("/?mode=predict", json=1)
            replica.client.post("/", content=b"")
            replica.client.get("/elsewhere")
            if kind == "CLASSIFICATION":
                wait_for(lambda: monitor.reports)  # else there is one at the end only
        counts: dict[int, int] = {}
        classes: dict[str, int] = {}
        for report in monitor.reports:
            for status, count in report.requests_by_status.items():
                counts[status] = counts.get(status, 0) + count
            for name, count in report.predictions.class_counts.items():
                classes[name] = classes.get(name, 0) + count
    assert counts == {200: 4, 500: 1, 404: 1}
    assert sum(report.latency.count for report in monitor.reports) == 6
    assert [report.sequence for report in monitor.reports] == list(range(1, len(monitor.reports) + 1))
    assert sum(report.predictions.unreadable for report in monitor.reports) == 1
    if kind == "CLASSIFICATION":
        assert classes == {"cat": 2, "dog": 1}
    else:
        assert sum(report.predictions.values.count for report in monitor.reports) == 3


CUSTOM = """
import numpy

class PythonPredictor:
    def __init__(self, config, metrics_client):
        self.metrics = metrics_client
        for number in range(3):
            metrics_client.gauge(metric="model.size", value=number, tags={"layer": "first"})

    def predict(self, payload):
        self.metrics.increment("seen")
        self.metrics.increment("seen", 2, {"kind": "b"})
        self.metrics.histogram("length", numpy.float32(payload))
        self.metrics.gauge("seen", 1)
        self.metrics.gauge("cortex_mine", 1)
        self.metrics.gauge("text", "no number")
        return payload
"""


@pytest.mark.parametrize("start", ["SPAWN", "FORK_LOADED"])
def test_metrics_of_the_users_own_reach_the_monitor(tmp_path: pathlib.Path, start: str) -> None:
    monitor = Monitor()
    predictor = {"worker": {"start": f"WORKER_START_{start}"}}
    with serving(Collector(), monitor) as address:
        with running(tmp_path, CUSTOM, predictor=predictor, config={"monitorAddress": address}) as replica:
            for number in (1, 2, 3):
                assert replica.client.post("/", json=number).status_code == 200
            for text in ("'seen' is a counter already", "'cortex_mine' is the platform's", "'text' was not taken"):
                replica.wait_line(text)
        told = [metric for report in monitor.reports for metric in report.custom_metrics]
    assert {metric.gauge for metric in told if metric.name == "model_size"} == {2}
    assert {dict(metric.tags)["layer"] for metric in told if metric.name == "model_size"} == {"first"}
    assert sum(metric.increase for metric in told if metric.name == "seen" and not metric.tags) == 3
    assert sum(metric.increase for metric in told if metric.name == "seen" and metric.tags) == 6
    lengths = [metric.histogram for metric in told if metric.name == "length"]
    assert (sum(one.count for one in lengths), sum(one.sum for one in lengths)) == (3, 6)
    assert {metric.name for metric in told} == {"model_size", "seen", "length"}
    if start == "FORK_LOADED":
        assert not any("do not survive a fork" in line["message"] for line in replica.lines())
