import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import client_pb2 as _client_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecisionTerm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_TERM_UNSPECIFIED: _ClassVar[DecisionTerm]
    DECISION_TERM_LOAD: _ClassVar[DecisionTerm]
    DECISION_TERM_TOLERANCE: _ClassVar[DecisionTerm]
    DECISION_TERM_DOWNSCALE_FACTOR: _ClassVar[DecisionTerm]
    DECISION_TERM_UPSCALE_FACTOR: _ClassVar[DecisionTerm]
    DECISION_TERM_MIN_REPLICAS: _ClassVar[DecisionTerm]
    DECISION_TERM_MAX_REPLICAS: _ClassVar[DecisionTerm]
    DECISION_TERM_DOWNSCALE_STABILIZATION: _ClassVar[DecisionTerm]
    DECISION_TERM_UPSCALE_STABILIZATION: _ClassVar[DecisionTerm]
    DECISION_TERM_NO_DATA: _ClassVar[DecisionTerm]
    DECISION_TERM_ACTIVATION: _ClassVar[DecisionTerm]
    DECISION_TERM_NOT_READY: _ClassVar[DecisionTerm]
DECISION_TERM_UNSPECIFIED: DecisionTerm
DECISION_TERM_LOAD: DecisionTerm
DECISION_TERM_TOLERANCE: DecisionTerm
DECISION_TERM_DOWNSCALE_FACTOR: DecisionTerm
DECISION_TERM_UPSCALE_FACTOR: DecisionTerm
DECISION_TERM_MIN_REPLICAS: DecisionTerm
DECISION_TERM_MAX_REPLICAS: DecisionTerm
DECISION_TERM_DOWNSCALE_STABILIZATION: DecisionTerm
DECISION_TERM_UPSCALE_STABILIZATION: DecisionTerm
DECISION_TERM_NO_DATA: DecisionTerm
DECISION_TERM_ACTIVATION: DecisionTerm
DECISION_TERM_NOT_READY: DecisionTerm

class GetDecisionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListDecisionsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDecisionsResponse(_message.Message):
    __slots__ = ("decisions", "next_page_token")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    next_page_token: str
    def __init__(self, decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("api", "time", "last_time", "current_replicas", "desired_replicas", "winning_term", "explanation", "steps", "average_in_flight", "in_flight", "held_requests", "target_in_flight", "policy")
    API_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    CURRENT_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    DESIRED_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    WINNING_TERM_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    HELD_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    TARGET_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    api: str
    time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    current_replicas: int
    desired_replicas: int
    winning_term: DecisionTerm
    explanation: str
    steps: _containers.RepeatedCompositeFieldContainer[DecisionStep]
    average_in_flight: float
    in_flight: int
    held_requests: int
    target_in_flight: float
    policy: str
    def __init__(self, api: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., current_replicas: _Optional[int] = ..., desired_replicas: _Optional[int] = ..., winning_term: _Optional[_Union[DecisionTerm, str]] = ..., explanation: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[DecisionStep, _Mapping]]] = ..., average_in_flight: _Optional[float] = ..., in_flight: _Optional[int] = ..., held_requests: _Optional[int] = ..., target_in_flight: _Optional[float] = ..., policy: _Optional[str] = ...) -> None: ...

class DecisionStep(_message.Message):
    __slots__ = ("term", "replicas", "detail")
    TERM_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    term: DecisionTerm
    replicas: float
    detail: str
    def __init__(self, term: _Optional[_Union[DecisionTerm, str]] = ..., replicas: _Optional[float] = ..., detail: _Optional[str] = ...) -> None: ...
