import datetime

from cortex.apiserver.v1 import spec_pb2 as _spec_pb2
from cortex.type.v1 import condition_pb2 as _condition_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import resource_pb2 as _resource_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RevisionCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVISION_CAUSE_UNSPECIFIED: _ClassVar[RevisionCause]
    REVISION_CAUSE_DEPLOY: _ClassVar[RevisionCause]
    REVISION_CAUSE_REFRESH: _ClassVar[RevisionCause]

class RevisionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVISION_STATE_UNSPECIFIED: _ClassVar[RevisionState]
    REVISION_STATE_PENDING: _ClassVar[RevisionState]
    REVISION_STATE_SERVING: _ClassVar[RevisionState]
    REVISION_STATE_RETIRED: _ClassVar[RevisionState]
    REVISION_STATE_FAILED: _ClassVar[RevisionState]
    REVISION_STATE_SUPERSEDED: _ClassVar[RevisionState]
REVISION_CAUSE_UNSPECIFIED: RevisionCause
REVISION_CAUSE_DEPLOY: RevisionCause
REVISION_CAUSE_REFRESH: RevisionCause
REVISION_STATE_UNSPECIFIED: RevisionState
REVISION_STATE_PENDING: RevisionState
REVISION_STATE_SERVING: RevisionState
REVISION_STATE_RETIRED: RevisionState
REVISION_STATE_FAILED: RevisionState
REVISION_STATE_SUPERSEDED: RevisionState

class Revision(_message.Message):
    __slots__ = ("name", "uid", "number", "spec", "content_digest", "create_time", "cause", "state", "reason", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: str
    number: int
    spec: _spec_pb2.ApiSpec
    content_digest: str
    create_time: _timestamp_pb2.Timestamp
    cause: RevisionCause
    state: RevisionState
    reason: _condition_pb2.ConditionReason
    message: str
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[str] = ..., number: _Optional[int] = ..., spec: _Optional[_Union[_spec_pb2.ApiSpec, _Mapping]] = ..., content_digest: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[_Union[RevisionCause, str]] = ..., state: _Optional[_Union[RevisionState, str]] = ..., reason: _Optional[_Union[_condition_pb2.ConditionReason, str]] = ..., message: _Optional[str] = ...) -> None: ...
