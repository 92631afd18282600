import datetime

from cortex.apiserver.v1 import api_pb2 as _api_pb2
from cortex.apiserver.v1 import spec_pb2 as _spec_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetNodeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "cpu_millis", "memory_bytes", "memory_enforcement", "python_versions", "start_time", "cpu_enforcement")
    ID_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLIS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    CPU_ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    cpu_millis: int
    memory_bytes: int
    memory_enforcement: str
    python_versions: _containers.RepeatedScalarFieldContainer[str]
    start_time: _timestamp_pb2.Timestamp
    cpu_enforcement: str
    def __init__(self, id: _Optional[str] = ..., cpu_millis: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., memory_enforcement: _Optional[str] = ..., python_versions: _Optional[_Iterable[str]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cpu_enforcement: _Optional[str] = ...) -> None: ...

class StartReplicaRequest(_message.Message):
    __slots__ = ("replica_id", "revision", "spec", "bundle")
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    replica_id: str
    revision: str
    spec: _spec_pb2.ApiSpec
    bundle: str
    def __init__(self, replica_id: _Optional[str] = ..., revision: _Optional[str] = ..., spec: _Optional[_Union[_spec_pb2.ApiSpec, _Mapping]] = ..., bundle: _Optional[str] = ...) -> None: ...

class StartReplicaResponse(_message.Message):
    __slots__ = ("replica",)
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    replica: _api_pb2.Replica
    def __init__(self, replica: _Optional[_Union[_api_pb2.Replica, _Mapping]] = ...) -> None: ...

class StopReplicaRequest(_message.Message):
    __slots__ = ("replica_id", "drain_timeout")
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    replica_id: str
    drain_timeout: _duration_pb2.Duration
    def __init__(self, replica_id: _Optional[str] = ..., drain_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StopReplicaResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReplicasRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReplicasResponse(_message.Message):
    __slots__ = ("replicas",)
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    replicas: _containers.RepeatedCompositeFieldContainer[_api_pb2.Replica]
    def __init__(self, replicas: _Optional[_Iterable[_Union[_api_pb2.Replica, _Mapping]]] = ...) -> None: ...

class WatchReplicasRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchReplicasResponse(_message.Message):
    __slots__ = ("replica", "removed", "synced")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    replica: _api_pb2.Replica
    removed: bool
    synced: bool
    def __init__(self, replica: _Optional[_Union[_api_pb2.Replica, _Mapping]] = ..., removed: _Optional[bool] = ..., synced: _Optional[bool] = ...) -> None: ...
