import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApiKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    API_KIND_UNSPECIFIED: _ClassVar[ApiKind]
    API_KIND_REALTIME: _ClassVar[ApiKind]

class PredictorType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREDICTOR_TYPE_UNSPECIFIED: _ClassVar[PredictorType]
    PREDICTOR_TYPE_PYTHON: _ClassVar[PredictorType]
    PREDICTOR_TYPE_TENSORFLOW: _ClassVar[PredictorType]
    PREDICTOR_TYPE_ONNX: _ClassVar[PredictorType]
    PREDICTOR_TYPE_TRITON: _ClassVar[PredictorType]

class PredictorTask(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREDICTOR_TASK_UNSPECIFIED: _ClassVar[PredictorTask]
    PREDICTOR_TASK_TEXT_GENERATION: _ClassVar[PredictorTask]
    PREDICTOR_TASK_EMBEDDING: _ClassVar[PredictorTask]

class WorkerStart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_START_UNSPECIFIED: _ClassVar[WorkerStart]
    WORKER_START_SPAWN: _ClassVar[WorkerStart]
    WORKER_START_FORK_SERVER: _ClassVar[WorkerStart]
    WORKER_START_FORK_LOADED: _ClassVar[WorkerStart]

class CancelPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CANCEL_POLICY_UNSPECIFIED: _ClassVar[CancelPolicy]
    CANCEL_POLICY_WAIT: _ClassVar[CancelPolicy]
    CANCEL_POLICY_KILL: _ClassVar[CancelPolicy]

class RetryPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETRY_POLICY_UNSPECIFIED: _ClassVar[RetryPolicy]
    RETRY_POLICY_ENABLED: _ClassVar[RetryPolicy]
    RETRY_POLICY_DISABLED: _ClassVar[RetryPolicy]

class ModelType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_TYPE_UNSPECIFIED: _ClassVar[ModelType]
    MODEL_TYPE_CLASSIFICATION: _ClassVar[ModelType]
    MODEL_TYPE_REGRESSION: _ClassVar[ModelType]
API_KIND_UNSPECIFIED: ApiKind
API_KIND_REALTIME: ApiKind
PREDICTOR_TYPE_UNSPECIFIED: PredictorType
PREDICTOR_TYPE_PYTHON: PredictorType
PREDICTOR_TYPE_TENSORFLOW: PredictorType
PREDICTOR_TYPE_ONNX: PredictorType
PREDICTOR_TYPE_TRITON: PredictorType
PREDICTOR_TASK_UNSPECIFIED: PredictorTask
PREDICTOR_TASK_TEXT_GENERATION: PredictorTask
PREDICTOR_TASK_EMBEDDING: PredictorTask
WORKER_START_UNSPECIFIED: WorkerStart
WORKER_START_SPAWN: WorkerStart
WORKER_START_FORK_SERVER: WorkerStart
WORKER_START_FORK_LOADED: WorkerStart
CANCEL_POLICY_UNSPECIFIED: CancelPolicy
CANCEL_POLICY_WAIT: CancelPolicy
CANCEL_POLICY_KILL: CancelPolicy
RETRY_POLICY_UNSPECIFIED: RetryPolicy
RETRY_POLICY_ENABLED: RetryPolicy
RETRY_POLICY_DISABLED: RetryPolicy
MODEL_TYPE_UNSPECIFIED: ModelType
MODEL_TYPE_CLASSIFICATION: ModelType
MODEL_TYPE_REGRESSION: ModelType

class ApiSpec(_message.Message):
    __slots__ = ("kind", "predictor", "compute", "networking", "autoscaling", "update_strategy", "monitoring", "bundle_digest", "source", "not_in_effect")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    NETWORKING_FIELD_NUMBER: _ClassVar[int]
    AUTOSCALING_FIELD_NUMBER: _ClassVar[int]
    UPDATE_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    MONITORING_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NOT_IN_EFFECT_FIELD_NUMBER: _ClassVar[int]
    kind: ApiKind
    predictor: Predictor
    compute: Compute
    networking: Networking
    autoscaling: Autoscaling
    update_strategy: UpdateStrategy
    monitoring: Monitoring
    bundle_digest: str
    source: str
    not_in_effect: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[_Union[ApiKind, str]] = ..., predictor: _Optional[_Union[Predictor, _Mapping]] = ..., compute: _Optional[_Union[Compute, _Mapping]] = ..., networking: _Optional[_Union[Networking, _Mapping]] = ..., autoscaling: _Optional[_Union[Autoscaling, _Mapping]] = ..., update_strategy: _Optional[_Union[UpdateStrategy, _Mapping]] = ..., monitoring: _Optional[_Union[Monitoring, _Mapping]] = ..., bundle_digest: _Optional[str] = ..., source: _Optional[str] = ..., not_in_effect: _Optional[_Iterable[str]] = ...) -> None: ...

class Predictor(_message.Message):
    __slots__ = ("type", "path", "class_name", "config", "python_path", "env", "processes_per_replica", "threads_per_process", "log_level", "dependencies", "python_version", "models", "server_side_batching", "protobuf_path", "task", "inputs", "outputs", "worker")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    PYTHON_PATH_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_PER_REPLICA_FIELD_NUMBER: _ClassVar[int]
    THREADS_PER_PROCESS_FIELD_NUMBER: _ClassVar[int]
    LOG_LEVEL_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    SERVER_SIDE_BATCHING_FIELD_NUMBER: _ClassVar[int]
    PROTOBUF_PATH_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    type: PredictorType
    path: str
    class_name: str
    config: _struct_pb2.Struct
    python_path: str
    env: _containers.ScalarMap[str, str]
    processes_per_replica: int
    threads_per_process: int
    log_level: str
    dependencies: Dependencies
    python_version: str
    models: _struct_pb2.Struct
    server_side_batching: ServerSideBatching
    protobuf_path: str
    task: PredictorTask
    inputs: _containers.RepeatedCompositeFieldContainer[Tensor]
    outputs: _containers.RepeatedCompositeFieldContainer[Tensor]
    worker: WorkerPolicy
    def __init__(self, type: _Optional[_Union[PredictorType, str]] = ..., path: _Optional[str] = ..., class_name: _Optional[str] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., python_path: _Optional[str] = ..., env: _Optional[_Mapping[str, str]] = ..., processes_per_replica: _Optional[int] = ..., threads_per_process: _Optional[int] = ..., log_level: _Optional[str] = ..., dependencies: _Optional[_Union[Dependencies, _Mapping]] = ..., python_version: _Optional[str] = ..., models: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., server_side_batching: _Optional[_Union[ServerSideBatching, _Mapping]] = ..., protobuf_path: _Optional[str] = ..., task: _Optional[_Union[PredictorTask, str]] = ..., inputs: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., worker: _Optional[_Union[WorkerPolicy, _Mapping]] = ...) -> None: ...

class ServerSideBatching(_message.Message):
    __slots__ = ("max_batch_size", "batch_interval")
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    BATCH_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    max_batch_size: int
    batch_interval: _duration_pb2.Duration
    def __init__(self, max_batch_size: _Optional[int] = ..., batch_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("name", "datatype", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class WorkerPolicy(_message.Message):
    __slots__ = ("start", "preload", "memory_bytes", "hang_timeout", "max_requests", "on_cancel", "cancel_grace")
    START_FIELD_NUMBER: _ClassVar[int]
    PRELOAD_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    HANG_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ON_CANCEL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_GRACE_FIELD_NUMBER: _ClassVar[int]
    start: WorkerStart
    preload: _containers.RepeatedScalarFieldContainer[str]
    memory_bytes: int
    hang_timeout: _duration_pb2.Duration
    max_requests: int
    on_cancel: CancelPolicy
    cancel_grace: _duration_pb2.Duration
    def __init__(self, start: _Optional[_Union[WorkerStart, str]] = ..., preload: _Optional[_Iterable[str]] = ..., memory_bytes: _Optional[int] = ..., hang_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_requests: _Optional[int] = ..., on_cancel: _Optional[_Union[CancelPolicy, str]] = ..., cancel_grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Dependencies(_message.Message):
    __slots__ = ("pip", "conda", "shell")
    PIP_FIELD_NUMBER: _ClassVar[int]
    CONDA_FIELD_NUMBER: _ClassVar[int]
    SHELL_FIELD_NUMBER: _ClassVar[int]
    pip: str
    conda: str
    shell: str
    def __init__(self, pip: _Optional[str] = ..., conda: _Optional[str] = ..., shell: _Optional[str] = ...) -> None: ...

class Compute(_message.Message):
    __slots__ = ("cpu_millis", "memory_bytes", "gpus", "neuron_devices", "node_groups")
    CPU_MILLIS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    NEURON_DEVICES_FIELD_NUMBER: _ClassVar[int]
    NODE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    cpu_millis: int
    memory_bytes: int
    gpus: int
    neuron_devices: int
    node_groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cpu_millis: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., gpus: _Optional[int] = ..., neuron_devices: _Optional[int] = ..., node_groups: _Optional[_Iterable[str]] = ...) -> None: ...

class Networking(_message.Message):
    __slots__ = ("endpoint", "request_timeout", "retry_policy", "max_request_bytes", "activation_timeout")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    request_timeout: _duration_pb2.Duration
    retry_policy: RetryPolicy
    max_request_bytes: int
    activation_timeout: _duration_pb2.Duration
    def __init__(self, endpoint: _Optional[str] = ..., request_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retry_policy: _Optional[_Union[RetryPolicy, str]] = ..., max_request_bytes: _Optional[int] = ..., activation_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Autoscaling(_message.Message):
    __slots__ = ("min_replicas", "max_replicas", "init_replicas", "target_in_flight", "max_replica_concurrency", "window", "downscale_stabilization_period", "upscale_stabilization_period", "max_downscale_factor", "max_upscale_factor", "downscale_tolerance", "upscale_tolerance")
    MIN_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    INIT_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    TARGET_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLICA_CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    DOWNSCALE_STABILIZATION_PERIOD_FIELD_NUMBER: _ClassVar[int]
    UPSCALE_STABILIZATION_PERIOD_FIELD_NUMBER: _ClassVar[int]
    MAX_DOWNSCALE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    MAX_UPSCALE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    DOWNSCALE_TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    UPSCALE_TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    min_replicas: int
    max_replicas: int
    init_replicas: int
    target_in_flight: float
    max_replica_concurrency: int
    window: _duration_pb2.Duration
    downscale_stabilization_period: _duration_pb2.Duration
    upscale_stabilization_period: _duration_pb2.Duration
    max_downscale_factor: float
    max_upscale_factor: float
    downscale_tolerance: float
    upscale_tolerance: float
    def __init__(self, min_replicas: _Optional[int] = ..., max_replicas: _Optional[int] = ..., init_replicas: _Optional[int] = ..., target_in_flight: _Optional[float] = ..., max_replica_concurrency: _Optional[int] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., downscale_stabilization_period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., upscale_stabilization_period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_downscale_factor: _Optional[float] = ..., max_upscale_factor: _Optional[float] = ..., downscale_tolerance: _Optional[float] = ..., upscale_tolerance: _Optional[float] = ...) -> None: ...

class UpdateStrategy(_message.Message):
    __slots__ = ("max_surge", "max_unavailable", "progress_deadline", "drain_timeout")
    MAX_SURGE_FIELD_NUMBER: _ClassVar[int]
    MAX_UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    max_surge: str
    max_unavailable: str
    progress_deadline: _duration_pb2.Duration
    drain_timeout: _duration_pb2.Duration
    def __init__(self, max_surge: _Optional[str] = ..., max_unavailable: _Optional[str] = ..., progress_deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., drain_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Monitoring(_message.Message):
    __slots__ = ("model_type", "key")
    MODEL_TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    model_type: ModelType
    key: str
    def __init__(self, model_type: _Optional[_Union[ModelType, str]] = ..., key: _Optional[str] = ...) -> None: ...
