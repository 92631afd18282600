import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import client_pb2 as _client_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportMetricsRequest(_message.Message):
    __slots__ = ("api", "revision", "replica", "sequence", "start_time", "end_time", "requests_by_status", "latency", "queue_time", "in_flight", "queued", "predictions", "lost_observations", "custom_metrics")
    class RequestsByStatusEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    API_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_BY_STATUS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    LOST_OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_METRICS_FIELD_NUMBER: _ClassVar[int]
    api: str
    revision: str
    replica: str
    sequence: int
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    requests_by_status: _containers.ScalarMap[int, int]
    latency: Sketch
    queue_time: Sketch
    in_flight: int
    queued: int
    predictions: PredictionSummary
    lost_observations: int
    custom_metrics: _containers.RepeatedCompositeFieldContainer[CustomMetric]
    def __init__(self, api: _Optional[str] = ..., revision: _Optional[str] = ..., replica: _Optional[str] = ..., sequence: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requests_by_status: _Optional[_Mapping[int, int]] = ..., latency: _Optional[_Union[Sketch, _Mapping]] = ..., queue_time: _Optional[_Union[Sketch, _Mapping]] = ..., in_flight: _Optional[int] = ..., queued: _Optional[int] = ..., predictions: _Optional[_Union[PredictionSummary, _Mapping]] = ..., lost_observations: _Optional[int] = ..., custom_metrics: _Optional[_Iterable[_Union[CustomMetric, _Mapping]]] = ...) -> None: ...

class CustomMetric(_message.Message):
    __slots__ = ("name", "tags", "gauge", "increase", "histogram")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    GAUGE_FIELD_NUMBER: _ClassVar[int]
    INCREASE_FIELD_NUMBER: _ClassVar[int]
    HISTOGRAM_FIELD_NUMBER: _ClassVar[int]
    name: str
    tags: _containers.ScalarMap[str, str]
    gauge: float
    increase: float
    histogram: Sketch
    def __init__(self, name: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., gauge: _Optional[float] = ..., increase: _Optional[float] = ..., histogram: _Optional[_Union[Sketch, _Mapping]] = ...) -> None: ...

class ReportMetricsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Sketch(_message.Message):
    __slots__ = ("relative_accuracy", "bins", "zero_count", "count", "sum", "min", "max", "negative_bins")
    class BinsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class NegativeBinsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    RELATIVE_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    BINS_FIELD_NUMBER: _ClassVar[int]
    ZERO_COUNT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_BINS_FIELD_NUMBER: _ClassVar[int]
    relative_accuracy: float
    bins: _containers.ScalarMap[int, int]
    zero_count: int
    count: int
    sum: float
    min: float
    max: float
    negative_bins: _containers.ScalarMap[int, int]
    def __init__(self, relative_accuracy: _Optional[float] = ..., bins: _Optional[_Mapping[int, int]] = ..., zero_count: _Optional[int] = ..., count: _Optional[int] = ..., sum: _Optional[float] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., negative_bins: _Optional[_Mapping[int, int]] = ...) -> None: ...

class PredictionSummary(_message.Message):
    __slots__ = ("class_counts", "values", "other_classes", "unreadable")
    class ClassCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    CLASS_COUNTS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    OTHER_CLASSES_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    class_counts: _containers.ScalarMap[str, int]
    values: Sketch
    other_classes: int
    unreadable: int
    def __init__(self, class_counts: _Optional[_Mapping[str, int]] = ..., values: _Optional[_Union[Sketch, _Mapping]] = ..., other_classes: _Optional[int] = ..., unreadable: _Optional[int] = ...) -> None: ...

class GetApiMetricsRequest(_message.Message):
    __slots__ = ("name", "window", "since")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    window: _duration_pb2.Duration
    since: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListApiMetricsRequest(_message.Message):
    __slots__ = ("parent", "window", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    window: _duration_pb2.Duration
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListApiMetricsResponse(_message.Message):
    __slots__ = ("metrics", "next_page_token")
    METRICS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    metrics: _containers.RepeatedCompositeFieldContainer[ApiMetrics]
    next_page_token: str
    def __init__(self, metrics: _Optional[_Iterable[_Union[ApiMetrics, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ApiMetrics(_message.Message):
    __slots__ = ("api", "start_time", "end_time", "total", "revisions", "replicas")
    class RevisionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: MetricsSummary
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[MetricsSummary, _Mapping]] = ...) -> None: ...
    class ReplicasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: MetricsSummary
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[MetricsSummary, _Mapping]] = ...) -> None: ...
    API_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    api: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    total: MetricsSummary
    revisions: _containers.MessageMap[str, MetricsSummary]
    replicas: _containers.MessageMap[str, MetricsSummary]
    def __init__(self, api: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., total: _Optional[_Union[MetricsSummary, _Mapping]] = ..., revisions: _Optional[_Mapping[str, MetricsSummary]] = ..., replicas: _Optional[_Mapping[str, MetricsSummary]] = ...) -> None: ...

class MetricsSummary(_message.Message):
    __slots__ = ("requests_by_status", "requests_2xx", "requests_4xx", "requests_5xx", "requests_per_second", "latency", "queue_time", "in_flight", "predictions", "prediction_values", "lost_observations", "report_time")
    class RequestsByStatusEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    REQUESTS_BY_STATUS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_2XX_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_4XX_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_5XX_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_VALUES_FIELD_NUMBER: _ClassVar[int]
    LOST_OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    REPORT_TIME_FIELD_NUMBER: _ClassVar[int]
    requests_by_status: _containers.ScalarMap[int, int]
    requests_2xx: int
    requests_4xx: int
    requests_5xx: int
    requests_per_second: float
    latency: Quantiles
    queue_time: Quantiles
    in_flight: int
    predictions: PredictionSummary
    prediction_values: Quantiles
    lost_observations: int
    report_time: _timestamp_pb2.Timestamp
    def __init__(self, requests_by_status: _Optional[_Mapping[int, int]] = ..., requests_2xx: _Optional[int] = ..., requests_4xx: _Optional[int] = ..., requests_5xx: _Optional[int] = ..., requests_per_second: _Optional[float] = ..., latency: _Optional[_Union[Quantiles, _Mapping]] = ..., queue_time: _Optional[_Union[Quantiles, _Mapping]] = ..., in_flight: _Optional[int] = ..., predictions: _Optional[_Union[PredictionSummary, _Mapping]] = ..., prediction_values: _Optional[_Union[Quantiles, _Mapping]] = ..., lost_observations: _Optional[int] = ..., report_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Quantiles(_message.Message):
    __slots__ = ("count", "min", "max", "mean", "p50", "p90", "p95", "p99", "p999")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P90_FIELD_NUMBER: _ClassVar[int]
    P95_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    P999_FIELD_NUMBER: _ClassVar[int]
    count: int
    min: float
    max: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    def __init__(self, count: _Optional[int] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., mean: _Optional[float] = ..., p50: _Optional[float] = ..., p90: _Optional[float] = ..., p95: _Optional[float] = ..., p99: _Optional[float] = ..., p999: _Optional[float] = ...) -> None: ...
