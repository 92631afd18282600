"""Rows that a load generator measures: requests a second, and CPU a request, beside another system."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from cortex.runtime.v1 import prediction_service_pb2 as pb
from tests.bench import rounds, serving
from tests.bench.rounds import Cell, Finding

_BATCHING = {"maxBatchSize": 32, "batchInterval": "0.005s"}


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    rounds: int = 15
    seconds: int = 1

    @property
    def starts(self) -> int:
        """Rounds of what takes long: starts, and what ends with them."""
        return min(self.rounds, 7)


def compared(
    options: Options, workload: str, clients: int, systems: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, list[Cell]]:
    with serving.up(workload, systems) as stage:
        measures = {name: functools.partial(stage.load, name, clients, options.seconds) for name in systems}
        return rounds.interleaved(measures, options.rounds)


def rate(cells: Mapping[str, list[Cell]], ours: str, theirs: str) -> list[float]:
    return rounds.ratios([cell.rps for cell in cells[ours]], [cell.rps for cell in cells[theirs]])


def noop(options: Options) -> list[Finding]:
    cells = compared(options, "noop", 64, {"granian-rsgi": None, "cortex": serving.ours("noop")})
    cpu = rounds.ratios([cell.cpu for cell in cells["cortex"]], [cell.cpu for cell in cells["granian-rsgi"]])
    note = rounds.told(cells)
    return [
        Finding(
            "noop, direct, c=64: rps / granian RSGI",
            ">= 0.8",
            ">= 1.2",
            "1.1",
            rate(cells, "cortex", "granian-rsgi"),
            note,
        ),
        Finding("noop, direct, c=64: CPU / granian RSGI", "<= 1.1", "<= 0.9", "0.9", cpu),
    ]


def echo(options: Options) -> list[Finding]:
    app = {"venv": "raw", "start": f"{{bin}}/python {serving.APPS / 'echo.py'}", "proto": "generic"}
    cells = compared(options, "noop", 1, {"echo": app, "cortex": serving.ours("noop")})
    p50 = rounds.ratios([cell.p50 for cell in cells["cortex"]], [cell.p50 for cell in cells["echo"]])
    what = "noop, direct, c=1: p50 / constant httptools+uvloop echo"
    return [Finding(what, "<= 3.5", "<= 2.5", "3.3", p50, rounds.told(cells))]


def gateway(options: Options) -> list[Finding]:
    cells = compared(options, "noop", 64, {"envoy-granian": None, "cortex": serving.ours("noop", "gateway")})
    what = "noop, gateway, c=64: rps / Envoy -> granian RSGI"
    return [Finding(what, ">= 0.9", ">= 1.0", "0.95", rate(cells, "cortex", "envoy-granian"), rounds.told(cells))]


def iris(options: Options) -> list[Finding]:
    batched = serving.ours("iris-batched", spec={"predictor": {"serverSideBatching": _BATCHING}})
    cells = compared(options, "iris", 64, {"granian-rsgi": None, "cortex": batched})
    what = "iris, c=64, batching on: rps / granian RSGI unbatched"
    return [Finding(what, ">= 1.7", ">= 2.3", "2.2", rate(cells, "cortex", "granian-rsgi"), rounds.told(cells))]


def step(options: Options) -> list[Finding]:
    batched = serving.ours("step", spec={"predictor": {"serverSideBatching": _BATCHING}})
    cells = compared(options, "batch", 64, {"cortex": batched})
    share = [cell.rps / 3200 for cell in cells["cortex"]]
    what = "10 ms a step, batch <= 32, 64 clients: rps / ideal"
    return [Finding(what, ">= 0.85", ">= 0.95", "0.93", share, rounds.told(cells))]


def alone(options: Options) -> list[Finding]:
    """What batching costs who has no company: the same predictor, which takes a list either way."""
    batching = {"predictor": {"serverSideBatching": _BATCHING}}
    systems = {"off": serving.ours("iris"), "on": serving.ours("iris-batched", spec=batching)}
    cells = compared(options, "iris", 1, systems)
    p50 = rounds.ratios([cell.p50 for cell in cells["on"]], [cell.p50 for cell in cells["off"]])
    what = "iris, c=1: p50 with batching on / off"
    return [Finding(what, "<= 1.05", "<= 1.0", "1.02", p50, rounds.told(cells))]


def tensor(options: Options) -> list[Finding]:
    cells = compared(options, "tensor", 16, {"granian-rsgi": None, "cortex": serving.ours("tensor")})
    what = "602 kB tensor, c=16: rps / granian RSGI"
    return [Finding(what, ">= 0.85", ">= 1.0", "1.1", rate(cells, "cortex", "granian-rsgi"), rounds.told(cells))]


def grpc(options: Options) -> list[Finding]:
    systems: dict[str, Mapping[str, Any] | None] = {"grpc-aio": None, "cortex": serving.ours("noop", "gateway")}
    request = pb.PredictRequest(body=b'{"x":1}', content_type="application/json").SerializeToString()
    with serving.up("noop", systems) as stage:
        theirs, ours = stage.peers["grpc-aio"], stage.peers["cortex"]
        bare = (theirs.gport, "/bench.Bench/Call")
        predict = (ours.port, "/cortex.runtime.v1.PredictionService/Predict")
        measures = {
            "grpc-aio": lambda: stage.grpc("grpc-aio", bare, theirs.body[5:], 64, options.seconds),
            "cortex": lambda: stage.grpc("cortex", predict, request, 64, options.seconds, "cortex-api: noop"),
        }
        cells = rounds.interleaved(measures, options.rounds)
    what = "gRPC unary, gateway, c=64: rps / bare grpc.aio direct"
    return [Finding(what, ">= 1.3", ">= 1.9", "1.6", rate(cells, "cortex", "grpc-aio"), rounds.told(cells))]


def tracing(options: Options) -> list[Finding]:
    sink = {"venv": "raw", "start": f"{{bin}}/python {serving.APPS / 'sink.py'}", "workloads": ["sink"]}
    with serving.collector(sink) as port:
        otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_TRACES_SAMPLER": "traceidratio"}
        systems = {
            "off": serving.ours("noop"),
            "1 %": serving.ours("noop", env={**otlp, "OTEL_TRACES_SAMPLER_ARG": "0.01"}),
            "100 %": serving.ours("noop", env={**otlp, "OTEL_TRACES_SAMPLER_ARG": "1"}),
        }
        cells = compared(options, "noop", 64, systems)
    note = rounds.told(cells)
    return [
        Finding("tracing, 1 % sampled: rps / off", ">= 0.97", "", "0.97", rate(cells, "1 %", "off"), note),
        Finding("tracing, 100 % sampled: rps / off", ">= 0.80", "", "0.80", rate(cells, "100 %", "off")),
    ]
