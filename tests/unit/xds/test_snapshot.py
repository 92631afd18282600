"""The configuration as a value: what is in it, and that equal wishes give equal bytes.

`CORTEX_UPDATE_GOLDEN=1 pytest tests/unit/xds/test_snapshot.py` writes the files anew.
"""

import json
import os
import pathlib
import re
from typing import Any

import pytest
from google.protobuf import json_format

from services import xds_types
from services.apiserver import model
from services.apiserver.xds import kinds, listener, snapshot
from services.apiserver.xds.kinds import Kind
from services.xds_types import loader
from tests.unit.xds.samples import endpoint, route

GOLDEN = pathlib.Path(__file__).parents[2] / "golden" / "xds"
OPTIONS = listener.Options("127.0.0.1:8888", "/home/x/.cortex/logs/gateway/access.log", tracing=True)
CASES: dict[str, list[model.Route]] = {
    "empty": [],
    "rollout": [route("text", {"r1-aa": (75, [1, 2]), "r2-bb": (25, [3])}, request_timeout=30.0)],
    "at_zero": [route("cold", {"r1-aa": (100, [])}, activate=True, to_zero=True, retries=False)],
    "not_yet": [route("new", {})],
}


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    built = snapshot.build(CASES[case], OPTIONS)
    kept = [kind for kind in Kind if case == "empty" or kind is not Kind.LISTENER]
    found = {kind.name: {name: _dict(it) for name, it in sorted(built.of(kind).items())} for kind in kept}
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    file = GOLDEN / f"{case}.json"
    if os.environ.get("CORTEX_UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def test_order_of_routes_and_endpoints_does_not_matter() -> None:
    one = [route("a", {"r1": (100, [1, 2])}), route("b", {"r1": (100, [3])})]
    other = [route("b", {"r1": (100, [3])}), route("a", {"r1": (100, [2, 1])})]
    first, second = snapshot.build(one, OPTIONS), snapshot.build(other, OPTIONS)
    assert [kinds.version(first.of(kind)) for kind in Kind] == [kinds.version(second.of(kind)) for kind in Kind]


def test_replicas_move_nothing_but_endpoints() -> None:
    before = snapshot.build([route("a", {"r1": (100, [1])})], OPTIONS)
    after = snapshot.build([route("a", {"r1": (100, [1, 2])})], OPTIONS)
    moved = [kind for kind in Kind if kinds.version(before.of(kind)) != kinds.version(after.of(kind))]
    assert moved == [Kind.ENDPOINT] and before.pieces == after.pieces


def test_every_cluster_a_route_names_is_there_with_endpoints() -> None:
    routes = [item for items in CASES.values() for item in items]
    built = snapshot.build(routes, OPTIONS)
    named = {name for item in routes for name in built.clusters_of(item.api)}
    table = json.dumps(_dict(next(iter(built.of(Kind.ROUTE).values()))))
    assert named == built.of(Kind.CLUSTER).keys() == built.of(Kind.ENDPOINT).keys()
    # Held requests go to the cluster of all replicas, the others to those of the revisions: both are kept warm.
    used = set(re.findall(r'"(namespaces/[^"]+/revisions/[^"]+)"', table))
    assert used < named and {name for name in named - used if "/any" not in name} == {
        f"namespaces/default/apis/cold/revisions/r1-aa{suffix}" for suffix in ("", "#grpc")
    }


A = route("a", {"r1": (100, [1])})
BAD_ADDRESS = model.RevisionRoute("r1", 100, (model.Endpoint("x", "localhost:80", ""),))


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        ([A], {}),
        ([route("a", {"r1": (60, [1])})], {"a": "weights"}),
        ([route("a", {"r1": (-1, [1]), "r2": (101, [1])})], {"a": "weights"}),
        ([A, route("b", {})], {}),
        ([A, model.Route("namespaces/default/apis/b", "/a/", A.networking, 1, A.revisions, False)], {"b": "taken"}),
        ([A, A], {"a": "twice"}),
        ([model.Route("a", "/a", A.networking, 1, (), False)], {"a": "not the name"}),
        ([model.Route(A.api, "/a b", A.networking, 1, (), False)], {"a": "not a path"}),
        ([model.Route(A.api, "/a", A.networking, 1, (*A.revisions, *A.revisions), False)], {"a": "twice"}),
        ([model.Route(A.api, "/a", A.networking, 1, (BAD_ADDRESS,), False)], {"a": "localhost:80"}),
    ],
)
def test_what_cannot_be_configured_is_named(routes: list[model.Route], problem: dict[str, str]) -> None:
    found = {api.rpartition("/")[2]: text for api, text in snapshot.admit(routes).items()}
    assert found.keys() == problem.keys()
    assert all(words in found[api] for api, words in problem.items())


def test_an_ipv6_replica_has_an_address() -> None:
    replica = model.Endpoint("x", "[::1]:20000", "")
    built = snapshot.build(
        [model.Route(A.api, "/a", A.networking, 1, (model.RevisionRoute("r1", 100, (replica,)),), False)], OPTIONS
    )
    text = json.dumps(_dict(built.of(Kind.ENDPOINT)[f"{A.api}/revisions/r1"]))
    assert '"::1"' in text and endpoint(1).http_address not in text


def _dict(resource: kinds.Resource) -> dict[str, Any]:
    message = xds_types.parse_any(xds_types.message("google.protobuf.Any").FromString(resource.data))
    return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=loader.pool())
