"""RDS: which request goes to which revision.

One table for all APIs: HTTP by path, gRPC by the metadata header `cortex-api`, since gRPC fixes the path. An API whose
endpoint is a gRPC service's path, as that of a `protobuf_path` is by default, needs no header.
Each API's part is a function of its own `Route` without the endpoints, so replicas come and go without touching it.
"""

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services import xds_types
from services.apiserver import model
from services.apiserver.xds import activation, bridge, kinds, replies, retries

NAME = "data"
GRPC_HEADER = "cortex-api"
_ROUTE = "envoy.config.route.v3.Route"
# /package.Service, or /Service
_SERVICE_PATH = re.compile(r"/[A-Za-z_]\w*(\.[A-Za-z_]\w*)+|/[A-Z]\w*")
_NOT_GRPC = {
    "name": "content-type",
    "string_match": {"prefix": "application/grpc"},
    "invert_match": True,
    "treat_missing_header_as_empty": True,
}
_LEAST_IDLE_SECONDS = 300.0
_NO_TIMEOUT_IDLE_SECONDS = 3600.0
# Bodies up to this size are kept until the answer begins, so that the request can be sent again.
_REPLAYABLE_BYTES = 16 * 1024 * 1024
# Held requests wait in memory; what exceeds this waits in the caller, by flow control.
_HELD_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """One API's part of the table. `path` orders the HTTP entries: longest first."""

    digest: str
    path: str
    http: tuple[bytes, ...]
    grpc: tuple[bytes, ...]


def piece(route: model.Route) -> Piece:
    bare = dataclasses.replace(
        route, revisions=tuple(dataclasses.replace(revision, endpoints=()) for revision in route.revisions)
    )
    return _piece(bare)


def table(pieces: Mapping[str, Piece]) -> kinds.Resource:
    """Everything but the root comes before the gRPC entries: most requests then compare paths and nothing else."""
    ordered = sorted(pieces.items(), key=lambda item: (-len(item[1].path), item[0]))
    entries = [entry for _, part in ordered if part.path != "/" for entry in part.http]
    entries += [entry for _, part in ordered for entry in part.grpc]
    entries += [entry for _, part in ordered if part.path == "/" for entry in part.http]
    make = xds_types.message(_ROUTE)
    routes = [make.FromString(entry) for entry in entries] + [make(**entry) for entry in _unknown()]
    host = {
        "name": NAME,
        "domains": ["*"],
        "routes": routes,
        "retry_policy": retries.policy(enabled=True),
        # By which a replica knows a request that ends one worker after another.
        "include_request_attempt_count": True,
        "request_body_buffer_limit": {"value": _REPLAYABLE_BYTES},
    }
    message = xds_types.message(kinds.Kind.ROUTE.value)(
        name=NAME,
        virtual_hosts=[host],
        response_headers_to_remove=["x-envoy-upstream-service-time", "x-cortex-retry"],
        # Clusters are warmed by the order in which we send, which Envoy cannot check here.
        validate_clusters={"value": False},
    )
    return kinds.resource(message)


@functools.lru_cache(maxsize=16384)
def _piece(route: model.Route) -> Piece:
    path = "/" + route.endpoint.strip("/")
    is_service = _SERVICE_PATH.fullmatch(path) is not None
    kept = {"headers": [_NOT_GRPC]} if is_service else {}
    entries = [_entry(route, {**match, **kept}, grpc=False) for match in _http_matches(path)]
    if is_service:
        entries.insert(0, _entry(route, _grpc_path_match(path), grpc=True))
    http = tuple(xds_types.serialize(entry) for entry in entries)
    entries = [_entry(route, match, grpc=True) for match in _grpc_matches(route.api)]
    grpc = tuple(xds_types.serialize(entry) for entry in entries)
    return Piece(kinds.digest(b"\0".join((*http, *grpc))), path, http, grpc)


def _http_matches(path: str) -> Iterable[Mapping[str, Any]]:
    if path == "/":
        return ({"prefix": "/"},)
    return ({"path": path}, {"prefix": f"{path}/"})


def _grpc_matches(api: str) -> Iterable[Mapping[str, Any]]:
    """`text`, `default/text` or the full name; the namespace `default` need not be said.

    Clients that cannot send a header may say the name in front of the host they call, as in `text.localhost`. Only
    APIs of the namespace `default` are known that way: two names in front could mean either of two APIs.
    """
    _, namespace, _, short = api.split("/")
    names = f"({re.escape(namespace)}/){'?' if namespace == 'default' else ''}{re.escape(short)}"
    told = [{"name": GRPC_HEADER, "string_match": {"safe_regex": {"regex": f"{names}|{re.escape(api)}"}}}]
    untold = {"name": GRPC_HEADER, "present_match": True, "invert_match": True}
    by_host = [untold, {"name": ":authority", "string_match": {"prefix": f"{short}."}}]
    for headers in (told, by_host) if namespace == "default" else (told,):
        for path in ({"path": method} for method in bridge.METHODS):
            yield {**path, "grpc": {}, "headers": headers}
        yield {"prefix": "/", "grpc": {}, "headers": headers}


def _grpc_path_match(path: str) -> Mapping[str, Any]:
    """Not for who names an API: several may serve the same service."""
    return {"prefix": f"{path}/", "grpc": {}, "headers": [{"name": GRPC_HEADER, "present_match": False}]}


def _entry(route: model.Route, match: Mapping[str, Any], *, grpc: bool) -> Any:
    _, namespace, _, short = route.api.split("/")
    label = f"{namespace}/{short}"
    fields: dict[str, Any] = {
        "match": match,
        "metadata": {"filter_metadata": {"cortex": {"fields": {"api": {"string_value": label}}}}},
        "decorator": {"operation": label, "propagate": {"value": False}},
    }
    if not any(revision.weight for revision in route.revisions):
        text = f"API {label} has no revision that can serve yet; `cortex get {short}` says why"
        return xds_types.message(_ROUTE)(**fields, direct_response={"status": 503, "body": {"inline_string": text}})
    if route.activate:
        fields |= activation.hold(route)
        fields["request_body_buffer_limit"] = {"value": _HELD_BYTES}
    bridged = grpc and "path" in match
    if bridged:
        fields["typed_per_filter_config"] = {**fields.get("typed_per_filter_config", {}), **bridge.switched_on()}
    rewrite = {} if grpc or match == {"prefix": "/"} else {"prefix_rewrite": "/"}
    action = _action(route, grpc=grpc and not bridged)
    if grpc:
        # The caller's own deadline ends the call here too, and frees the replica.
        limit = kinds.seconds(route.networking.request_timeout)
        action["max_stream_duration"] = {"grpc_timeout_header_max": limit}
    return xds_types.message(_ROUTE)(**fields, route=action | rewrite)


def _action(route: model.Route, *, grpc: bool) -> dict[str, Any]:
    timeout = route.networking.request_timeout
    held = route.activate and route.to_zero
    action: dict[str, Any] = (
        {"cluster": kinds.any_cluster_name(route.api, grpc=grpc)}
        if held
        else _target(route.api, route.revisions, grpc=grpc)
    )
    action["timeout"] = kinds.seconds(timeout)
    action["idle_timeout"] = kinds.seconds(_idle(route))
    if not route.networking.retries:
        action["retry_policy"] = retries.policy(enabled=False)
    return action


def _target(api: str, revisions: Sequence[model.RevisionRoute], *, grpc: bool) -> dict[str, Any]:
    weighted = [
        {"name": kinds.cluster_name(api, revision.revision, grpc=grpc), "weight": {"value": revision.weight}}
        for revision in revisions
        if revision.weight
    ]
    if len(weighted) == 1:
        return {"cluster": weighted[0]["name"]}
    return {"weighted_clusters": {"clusters": weighted}}


def _idle(route: model.Route) -> float:
    """A stream without a byte in either direction. A long prediction is silent, and so is a held request."""
    timeout = route.networking.request_timeout
    longest = timeout + 10.0 if timeout else _NO_TIMEOUT_IDLE_SECONDS
    return max(_LEAST_IDLE_SECONDS, longest, activation.check_timeout(route) + 10.0)


def _unknown() -> Iterable[Mapping[str, Any]]:
    """What is answered where no API is: said in the caller's protocol, with the way on."""
    named = {"prefix": "/", "grpc": {}, "headers": [{"name": GRPC_HEADER, "present_match": True}]}
    unnamed = {"prefix": "/", "grpc": {}}
    return (
        _refusal(named, "no API has the name given in the header cortex-api; `cortex get` lists the APIs", "5"),
        _refusal(
            unnamed,
            "say which API you mean in the header cortex-api: <api> or <namespace>/<api>, or call <api>.<host>",
            "3",
        ),
        _refusal({"path": "/"}, "this is a Cortex gateway; `cortex get` lists the APIs and their endpoints"),
        _refusal({"prefix": "/"}, replies.NO_API),
    )


def _refusal(match: Mapping[str, Any], text: str, grpc_status: str = "") -> Mapping[str, Any]:
    entry: dict[str, Any] = {
        "match": match,
        "direct_response": {"status": 404, "body": {"inline_string": text}},
        "decorator": {"operation": "unknown api", "propagate": {"value": False}},
    }
    if grpc_status:
        header = {"header": {"key": "grpc-status", "value": grpc_status}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        entry["response_headers_to_add"] = [header]
    return entry
