"""Reports as a replica's runtime makes them: sequence numbers from 1, sketches of what happened since the last one."""

from collections.abc import Mapping, Sequence

from google.protobuf import timestamp_pb2

from cortex.monitor.v1 import monitor_service_pb2 as pb
from services.monitor import convert, model, sketch

API = "namespaces/default/apis/iris"


def sketch_of(values: Sequence[float]) -> pb.Sketch:
    made = sketch.Sketch()
    for value in values:
        made.insert(value)
    return convert.from_sketch(made)


def message(
    sequence: int = 1, *, end: float, replica: str = "iris-r1-abcde", revision: str = "r1-aaaa", api: str = API,
    statuses: Mapping[int, int] | None = None, latencies: Sequence[float] = (), in_flight: int = 0, lost: int = 0,
    classes: Mapping[str, int] | None = None, values: Sequence[float] = (), seconds: float = 1.0,
    custom: Sequence[pb.CustomMetric] = (),
) -> pb.ReportMetricsRequest:  # fmt: skip
    made = pb.ReportMetricsRequest(
        api=api, revision=revision, replica=replica, sequence=sequence, start_time=stamp(end - seconds),
        end_time=stamp(end), requests_by_status=dict(statuses or {}), in_flight=in_flight, lost_observations=lost,
        custom_metrics=custom,
    )  # fmt: skip
    if latencies:
        made.latency.CopyFrom(sketch_of(latencies))
    if classes or values:
        made.predictions.CopyFrom(pb.PredictionSummary(class_counts=dict(classes or {}), values=sketch_of(values)))
    return made


def report(sequence: int = 1, **fields: object) -> model.Report:
    return convert.report(message(sequence, **fields))  # type: ignore[arg-type]  # the same arguments


def stamp(at: float) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromNanoseconds(round(at * 1e9))
    return made
