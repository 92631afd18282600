"""Field masks: the API that results when some fields of the present one are replaced by the caller's."""

from collections.abc import Sequence
from typing import Any

from google.protobuf import field_mask_pb2

from cortex.apiserver.v1 import api_pb2
from services.apiserver import defaults, errors

# The server's own fields are ignored in a mask, so that a caller may send back what it read.
_OURS = {"name", "uid", "generation", "etag", "status", "create_time", "update_time", "delete_time"}
_API: Any = api_pb2.Api.DESCRIPTOR
_EVERYTHING = ("spec", "labels")
_EXAMPLE = "name fields as in `spec.autoscaling.min_replicas` or `labels`; leave the mask empty for all"


def merge(present: api_pb2.Api, given: api_pb2.Api, paths: Sequence[str]) -> api_pb2.Api:
    """`present` with the fields of `paths` as in `given`; no path at all means spec and labels as a whole."""
    wanted = _expanded(paths)
    merged = api_pb2.Api()
    merged.CopyFrom(present)
    if wanted and wanted != list(_EVERYTHING):
        _release_derived(merged)
    field_mask_pb2.FieldMask(paths=wanted).MergeMessage(
        given, merged, replace_message_field=True, replace_repeated_field=True
    )
    return merged


def _expanded(paths: Sequence[str]) -> list[str]:
    if not paths or list(paths) == ["*"]:
        return list(_EVERYTHING)
    for path in paths:
        if not field_mask_pb2.FieldMask(paths=[path]).IsValidForDescriptor(_API):
            violation = errors.Violation("update_mask", f"{path[:200]!r} is not a field of an API that can be set")
            raise errors.InvalidArgument(
                f"update_mask: {path[:200]!r} is not a field of an API; {_EXAMPLE}", violations=[violation]
            )
    return [path for path in paths if path.partition(".")[0] not in _OURS]


def _release_derived(api: api_pb2.Api) -> None:
    """What was derived from other fields is derived anew: `min_replicas: 3` alone must not fail on the old
    `init_replicas`, which nobody wrote."""
    scaling, predictor = api.spec.autoscaling, api.spec.predictor
    if scaling.init_replicas == scaling.min_replicas:
        scaling.ClearField("init_replicas")
    if scaling.target_in_flight == defaults.in_flight(
        predictor.processes_per_replica,
        predictor.threads_per_process,
        predictor.server_side_batching.max_batch_size,
        scaling.max_replica_concurrency,
    ):
        scaling.ClearField("target_in_flight")
    for field, name in defaults.DEPENDENCIES.items():
        if getattr(predictor.dependencies, field) == name:
            predictor.dependencies.ClearField(field)
