"""Protobuf in, model out, and back: the only file of logstream that builds messages."""

import re
from collections.abc import Mapping

from google.protobuf import timestamp_pb2

from cortex.logstream.v1 import logstream_service_pb2 as pb
from services.chassis import errors, names
from services.logstream import grep, model

MOST_TAIL_LINES = 100_000
_MOST_REPLICAS = 1000
_TRACE = re.compile(r"[0-9a-fA-F]{1,64}")


def query(request: pb.TailLogsRequest) -> model.Query:
    """Raises errors.InvalidArgument that names every field that is wrong."""
    api = names.parse("namespaces/{namespace}/apis/{api}", request.api)
    problems = dict(_problems(request))
    for key in ("namespace", "api"):
        if not names.is_label(api[key]):
            problems["api"] = f"{key} {api[key][:80]!r} must be lower case letters, digits and '-'"
    if problems:
        text = "; ".join(f"{field} {problem}" for field, problem in problems.items())
        raise errors.InvalidArgument(text, violations=[errors.Violation(*problem) for problem in problems.items()])
    if request.grep:
        grep.Pattern(request.grep)
    return model.Query(
        namespace=api["namespace"], api=api["api"], follow=request.follow,
        since_ns=request.since.ToNanoseconds() if request.HasField("since") else 0,
        tail_lines=request.tail_lines, grep=request.grep, replicas=frozenset(request.replicas),
        revision=request.revision_id, min_level=request.min_level, trace_id=request.trace_id.lower(),
    )  # fmt: skip


def _problems(request: pb.TailLogsRequest) -> Mapping[str, str]:
    found = {}
    if not 0 <= request.tail_lines <= MOST_TAIL_LINES:
        found["tail_lines"] = f"must be between 0 and {MOST_TAIL_LINES}"
    if request.min_level and request.min_level not in model.LEVELS:
        found["min_level"] = f"must be one of {', '.join(model.LEVELS)}"
    if len(request.replicas) > _MOST_REPLICAS:
        found["replicas"] = f"must not name more than {_MOST_REPLICAS} replicas"
    if request.trace_id and not _TRACE.fullmatch(request.trace_id):
        found["trace_id"] = "must be hexadecimal"
    return found


def response(batch: model.Batch) -> pb.TailLogsResponse:
    message = pb.TailLogsResponse(entries=[_entry(entry) for entry in batch.entries], resume_token=batch.token)
    if batch.loss is not None:
        loss = batch.loss
        message.dropped.CopyFrom(pb.DroppedNotice(lines=loss.lost, replica=loss.replica, reason=loss.loss))
    return message


def _entry(entry: model.Entry) -> pb.LogEntry:
    seconds, nanos = divmod(entry.time_ns, 1_000_000_000)
    message = pb.LogEntry(
        time=timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos), level=entry.level, message=entry.message,
        replica=entry.replica, revision=entry.revision, worker=entry.worker, source=entry.source,
        trace_id=entry.trace_id, span_id=entry.span_id, request_id=entry.request_id,
    )  # fmt: skip
    if entry.fields:
        message.fields.update(entry.fields)
    return message
