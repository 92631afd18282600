import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConditionStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONDITION_STATUS_UNSPECIFIED: _ClassVar[ConditionStatus]
    CONDITION_STATUS_TRUE: _ClassVar[ConditionStatus]
    CONDITION_STATUS_FALSE: _ClassVar[ConditionStatus]
    CONDITION_STATUS_UNKNOWN: _ClassVar[ConditionStatus]

class ConditionReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONDITION_REASON_UNSPECIFIED: _ClassVar[ConditionReason]
    CONDITION_REASON_PENDING: _ClassVar[ConditionReason]
    CONDITION_REASON_BUILDING_ENVIRONMENT: _ClassVar[ConditionReason]
    CONDITION_REASON_ENVIRONMENT_FAILED: _ClassVar[ConditionReason]
    CONDITION_REASON_STARTING: _ClassVar[ConditionReason]
    CONDITION_REASON_IMPORT_FAILED: _ClassVar[ConditionReason]
    CONDITION_REASON_INVALID_PREDICTOR: _ClassVar[ConditionReason]
    CONDITION_REASON_CONSTRUCTOR_FAILED: _ClassVar[ConditionReason]
    CONDITION_REASON_CRASH_LOOP: _ClassVar[ConditionReason]
    CONDITION_REASON_OUT_OF_MEMORY: _ClassVar[ConditionReason]
    CONDITION_REASON_PROGRESS_DEADLINE_EXCEEDED: _ClassVar[ConditionReason]
    CONDITION_REASON_REVISION_UNHEALTHY: _ClassVar[ConditionReason]
    CONDITION_REASON_ROLLING_OUT: _ClassVar[ConditionReason]
    CONDITION_REASON_SCALED_TO_ZERO: _ClassVar[ConditionReason]
    CONDITION_REASON_ACTIVATING: _ClassVar[ConditionReason]
    CONDITION_REASON_NODE_UNREACHABLE: _ClassVar[ConditionReason]
    CONDITION_REASON_GATEWAY_PENDING: _ClassVar[ConditionReason]
    CONDITION_REASON_GATEWAY_REJECTED: _ClassVar[ConditionReason]
    CONDITION_REASON_DELETING: _ClassVar[ConditionReason]
    CONDITION_REASON_REPLICAS_UNAVAILABLE: _ClassVar[ConditionReason]
    CONDITION_REASON_BUNDLE_FAILED: _ClassVar[ConditionReason]
    CONDITION_REASON_STOPPING: _ClassVar[ConditionReason]
    CONDITION_REASON_EXITED: _ClassVar[ConditionReason]
    CONDITION_REASON_OK: _ClassVar[ConditionReason]
    CONDITION_REASON_MODEL_FAILED: _ClassVar[ConditionReason]
CONDITION_STATUS_UNSPECIFIED: ConditionStatus
CONDITION_STATUS_TRUE: ConditionStatus
CONDITION_STATUS_FALSE: ConditionStatus
CONDITION_STATUS_UNKNOWN: ConditionStatus
CONDITION_REASON_UNSPECIFIED: ConditionReason
CONDITION_REASON_PENDING: ConditionReason
CONDITION_REASON_BUILDING_ENVIRONMENT: ConditionReason
CONDITION_REASON_ENVIRONMENT_FAILED: ConditionReason
CONDITION_REASON_STARTING: ConditionReason
CONDITION_REASON_IMPORT_FAILED: ConditionReason
CONDITION_REASON_INVALID_PREDICTOR: ConditionReason
CONDITION_REASON_CONSTRUCTOR_FAILED: ConditionReason
CONDITION_REASON_CRASH_LOOP: ConditionReason
CONDITION_REASON_OUT_OF_MEMORY: ConditionReason
CONDITION_REASON_PROGRESS_DEADLINE_EXCEEDED: ConditionReason
CONDITION_REASON_REVISION_UNHEALTHY: ConditionReason
CONDITION_REASON_ROLLING_OUT: ConditionReason
CONDITION_REASON_SCALED_TO_ZERO: ConditionReason
CONDITION_REASON_ACTIVATING: ConditionReason
CONDITION_REASON_NODE_UNREACHABLE: ConditionReason
CONDITION_REASON_GATEWAY_PENDING: ConditionReason
CONDITION_REASON_GATEWAY_REJECTED: ConditionReason
CONDITION_REASON_DELETING: ConditionReason
CONDITION_REASON_REPLICAS_UNAVAILABLE: ConditionReason
CONDITION_REASON_BUNDLE_FAILED: ConditionReason
CONDITION_REASON_STOPPING: ConditionReason
CONDITION_REASON_EXITED: ConditionReason
CONDITION_REASON_OK: ConditionReason
CONDITION_REASON_MODEL_FAILED: ConditionReason

class Condition(_message.Message):
    __slots__ = ("type", "status", "reason", "message", "last_transition_time")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LAST_TRANSITION_TIME_FIELD_NUMBER: _ClassVar[int]
    type: str
    status: ConditionStatus
    reason: ConditionReason
    message: str
    last_transition_time: _timestamp_pb2.Timestamp
    def __init__(self, type: _Optional[str] = ..., status: _Optional[_Union[ConditionStatus, str]] = ..., reason: _Optional[_Union[ConditionReason, str]] = ..., message: _Optional[str] = ..., last_transition_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
