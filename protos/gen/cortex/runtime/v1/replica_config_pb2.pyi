import datetime

from cortex.apiserver.v1 import spec_pb2 as _spec_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReplicaConfig(_message.Message):
    __slots__ = ("api", "revision", "replica", "spec", "project_dir", "python", "http_address", "grpc_address", "monitor_address", "log_file", "state_file", "drain_timeout", "start_timeout", "model_cache_dir", "model_cache_bytes", "triton_home", "admin_token_file", "neuron_core_first", "neuron_core_count", "standalone")
    API_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    PROJECT_DIR_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    HTTP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    GRPC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MONITOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LOG_FILE_FIELD_NUMBER: _ClassVar[int]
    STATE_FILE_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    START_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MODEL_CACHE_DIR_FIELD_NUMBER: _ClassVar[int]
    MODEL_CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRITON_HOME_FIELD_NUMBER: _ClassVar[int]
    ADMIN_TOKEN_FILE_FIELD_NUMBER: _ClassVar[int]
    NEURON_CORE_FIRST_FIELD_NUMBER: _ClassVar[int]
    NEURON_CORE_COUNT_FIELD_NUMBER: _ClassVar[int]
    STANDALONE_FIELD_NUMBER: _ClassVar[int]
    api: str
    revision: str
    replica: str
    spec: _spec_pb2.ApiSpec
    project_dir: str
    python: str
    http_address: str
    grpc_address: str
    monitor_address: str
    log_file: str
    state_file: str
    drain_timeout: _duration_pb2.Duration
    start_timeout: _duration_pb2.Duration
    model_cache_dir: str
    model_cache_bytes: int
    triton_home: str
    admin_token_file: str
    neuron_core_first: int
    neuron_core_count: int
    standalone: bool
    def __init__(self, api: _Optional[str] = ..., revision: _Optional[str] = ..., replica: _Optional[str] = ..., spec: _Optional[_Union[_spec_pb2.ApiSpec, _Mapping]] = ..., project_dir: _Optional[str] = ..., python: _Optional[str] = ..., http_address: _Optional[str] = ..., grpc_address: _Optional[str] = ..., monitor_address: _Optional[str] = ..., log_file: _Optional[str] = ..., state_file: _Optional[str] = ..., drain_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., start_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., model_cache_dir: _Optional[str] = ..., model_cache_bytes: _Optional[int] = ..., triton_home: _Optional[str] = ..., admin_token_file: _Optional[str] = ..., neuron_core_first: _Optional[int] = ..., neuron_core_count: _Optional[int] = ..., standalone: _Optional[bool] = ...) -> None: ...
