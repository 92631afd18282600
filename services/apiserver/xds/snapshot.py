"""The whole configuration as one value: a pure function of the routes.

`admit` tells which routes cannot be turned into configuration, so that one bad route never takes the others with it.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from services.apiserver import model
from services.apiserver.xds import clusters, endpoints, kinds, listener, routes

_NAME = re.compile(r"namespaces/[^/]+/apis/[^/]+")
_ENDPOINT = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """`pieces` maps an API to its part of the route table; clusters and endpoints have the same names."""

    routes: Mapping[str, model.Route]
    pieces: Mapping[str, kinds.Resource]
    contents: Mapping[kinds.Kind, Mapping[str, kinds.Resource]]

    def of(self, kind: kinds.Kind) -> Mapping[str, kinds.Resource]:
        return self.contents[kind]

    def clusters_of(self, api: str) -> Iterator[str]:
        return _cluster_names(self.routes[api])


def build(wanted: Sequence[model.Route], options: listener.Options) -> Snapshot:
    """`wanted` must have passed `admit`."""
    by_api = {route.api: route for route in wanted}
    parts = {api: routes.piece(route) for api, route in by_api.items()}
    assignments = {name: resource for route in wanted for name, resource in _assignments(route)}
    contents = {
        kinds.Kind.CLUSTER: {name: clusters.resource(name) for name in assignments},
        kinds.Kind.ENDPOINT: assignments,
        kinds.Kind.LISTENER: {listener.NAME: listener.resource(options)},
        kinds.Kind.ROUTE: {routes.NAME: routes.table(parts)},
    }
    pieces = {api: kinds.Resource(part.digest, b"") for api, part in parts.items()}
    return Snapshot(by_api, pieces, contents)


def admit(wanted: Sequence[model.Route]) -> Mapping[str, str]:
    """Per API that cannot be served as asked, why. Of two that claim one thing, the earlier keeps it."""
    problems: dict[str, str] = {}
    apis: set[str] = set()
    taken: dict[str, str] = {}
    for route in wanted:
        path = "/" + route.endpoint.strip("/")
        problem = _problem(route)
        if route.api in apis:
            problem = f"{route.api} is given twice"
        elif path in taken:
            problem = f"endpoint {path} is taken by {taken[path]}"
        apis.add(route.api)
        if problem:
            problems[route.api] = problem
        else:
            taken[path] = route.api
    return problems


def _problem(route: model.Route) -> str:
    if not _NAME.fullmatch(route.api):
        return f"{route.api!r} is not the name of an API"
    if not _ENDPOINT.fullmatch(route.endpoint):
        return f"{route.endpoint!r} is not a path that requests can have"
    if len({revision.revision for revision in route.revisions}) != len(route.revisions):
        return "a revision is given twice"
    weights = [revision.weight for revision in route.revisions]
    if any(weight < 0 for weight in weights) or sum(weights) not in (0, 100):
        return f"the weights {weights} do not sum to 100"
    return next(_bad_addresses(route), "")


def _bad_addresses(route: model.Route) -> Iterator[str]:
    for revision in route.revisions:
        for endpoint in revision.endpoints:
            for address in filter(None, (endpoint.http_address, endpoint.grpc_address)):
                try:
                    endpoints.split(address)
                except ValueError as error:
                    yield f"replica {endpoint.replica} has the address {address!r}: {error}"


def _cluster_names(route: model.Route) -> Iterator[str]:
    for revision in route.revisions:
        for grpc in (False, True):
            yield kinds.cluster_name(route.api, revision.revision, grpc=grpc)
    if route.to_zero:
        yield from (kinds.any_cluster_name(route.api, grpc=grpc) for grpc in (False, True))


def _assignments(route: model.Route) -> Iterator[tuple[str, kinds.Resource]]:
    for revision in route.revisions:
        replicas = endpoints.ordered(revision.endpoints)
        for grpc in (False, True):
            name = kinds.cluster_name(route.api, revision.revision, grpc=grpc)
            yield name, endpoints.resource(name, replicas)
    if route.to_zero:
        everywhere = endpoints.ordered(tuple(it for part in route.revisions if part.weight for it in part.endpoints))
        for grpc in (False, True):
            name = kinds.any_cluster_name(route.api, grpc=grpc)
            yield name, endpoints.resource(name, everywhere)
