"""What one gateway is told next. No input or output here: requests go in, responses come out.

Additions travel cluster, endpoint, listener, route, each when what it needs is acknowledged; a route never names a
cluster that is not warm. Removals go the other way: while the gateway may hold an older route table, clusters that it
knows stay, and endpoints of the APIs whose routes are about to change only grow.
"""

from collections.abc import Iterable, Iterator, Mapping

from services.apiserver import model
from services.apiserver.xds import clusters, endpoints, kinds
from services.apiserver.xds.kinds import Kind
from services.apiserver.xds.snapshot import Snapshot
from services.apiserver.xds.subscription import Content, Push, Request, Subscription

# A gateway that comes back asks for all types in one go. Only then is it known which clusters it may still need.
SETTLE_SECONDS = 0.5


class Stream:
    """One open ADS stream of one gateway."""

    def __init__(self, node_id: str, user_agent: str, now: float) -> None:
        self.node_id = node_id
        self.user_agent = user_agent
        self.connect_time = now
        self.subscriptions = {kind: Subscription(kind) for kind in Kind}
        self._pieces: dict[str, Content] = {}

    def request(self, request: Request, now: float) -> None:
        self.subscriptions[request.kind].request(request, now)
        if request.kind is Kind.CLUSTER:
            self._forget_dropped_clusters()

    def pushes(self, snapshot: Snapshot, now: float) -> list[Push]:
        """Everything that can be said now. To be asked again after each request and each new snapshot."""
        self._recognise(snapshot, now)
        if self.unsettled(snapshot, now):
            return []
        return list(self._pushes(snapshot))

    def unsettled(self, snapshot: Snapshot, now: float) -> bool:
        """Whether it came back with clusters that are not ours and has not said yet which routes it holds."""
        held, table = self.subscriptions[Kind.CLUSTER], self.subscriptions[Kind.ROUTE]
        strange = held.applied is None and held.claimed != kinds.version(snapshot.of(Kind.CLUSTER))
        return strange and not table.asked and now < self.connect_time + SETTLE_SECONDS

    def in_sync(self, snapshot: Snapshot) -> bool:
        due = [kind for kind in Kind if self._due(kind, snapshot)]
        return all(self.subscriptions[kind].holds(self._of(kind, snapshot)) for kind in due)

    def holds(self, api: str, snapshot: Snapshot) -> bool:
        """Whether everything about `api` is acknowledged. Clusters of its past may remain."""
        if self._piece(api) != snapshot.pieces[api]:
            return False
        applied = self.subscriptions[Kind.ENDPOINT].applied or {}
        wanted = snapshot.of(Kind.ENDPOINT)
        return all(applied.get(name) == wanted[name] for name in snapshot.clusters_of(api))

    def has_routes_of(self, api: str) -> bool:
        return self._piece(api) is not None

    def in_use(self) -> frozenset[tuple[str, str]] | None:
        """API and id of each replica this gateway may send requests to; None while that is not known."""
        held, known = self.subscriptions[Kind.ENDPOINT], self.subscriptions[Kind.CLUSTER]
        silent = bool(known.claimed) and not held.asked and known.applied != {}
        if silent or held.unknown():
            return None
        return frozenset(
            (kinds.api_of(name), endpoint.replica)
            for name, resource in held.holdings()
            for endpoint in resource.endpoints
        )

    def refusals(self, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
        """APIs that differ from what is applied, with the words of the response that was refused."""
        for kind, held in self.subscriptions.items():
            if held.error:
                concerned = [api for api in snapshot.routes if self._concerns(kind, api, snapshot)]
                yield from ((api, f"{kind.name}: {held.error}") for api in concerned)

    def _pushes(self, snapshot: Snapshot) -> Iterator[Push]:
        if push := self._push_clusters(snapshot):
            yield push
        if push := self.subscriptions[Kind.ENDPOINT].push(self._endpoints(snapshot)):
            yield push
        if not self._warm(snapshot):
            return
        if push := self.subscriptions[Kind.LISTENER].push(snapshot.of(Kind.LISTENER)):
            yield push
        if push := self.subscriptions[Kind.ROUTE].push(self._of(Kind.ROUTE, snapshot)):
            self._remember_pieces(push.version, snapshot)
            yield push

    def _push_clusters(self, snapshot: Snapshot) -> Push | None:
        """A cluster that is new to the gateway, or changed, is warmed with endpoints it has to be told again."""
        held = self.subscriptions[Kind.CLUSTER]
        before = held.applied
        wanted = self._clusters(snapshot)
        push = held.push(wanted)
        if push:
            fresh = [name for name, resource in wanted.items() if (before or {}).get(name) != resource]
            self.subscriptions[Kind.ENDPOINT].forget(fresh)
        return push

    def _warm(self, snapshot: Snapshot) -> bool:
        """Whether every cluster that the routes name is there with its endpoints."""
        held = self.subscriptions[Kind.ENDPOINT]
        if not self.subscriptions[Kind.CLUSTER].holds(self._clusters(snapshot)):
            return False
        wanted = self._endpoints(snapshot)
        return snapshot.of(Kind.ENDPOINT).keys() <= wanted.keys() and held.holds(wanted)

    def _clusters(self, snapshot: Snapshot) -> Content:
        wanted = snapshot.of(Kind.CLUSTER)
        if self._routes_are_current(snapshot):
            return wanted
        known = self.subscriptions[Kind.ENDPOINT].names
        return {**wanted, **{name: clusters.resource(name) for name in known if name not in wanted}}

    def _endpoints(self, snapshot: Snapshot) -> Content:
        """Those of clusters that only stay for a while are left as they are."""
        held = self.subscriptions[Kind.ENDPOINT]
        wanted, applied = snapshot.of(Kind.ENDPOINT), held.applied or {}
        chosen = {name: self._growing(name, wanted[name], snapshot) for name in sorted(held.names) if name in wanted}
        return chosen | {name: applied[name] for name in sorted(held.names & applied.keys() - wanted.keys())}

    def _growing(self, name: str, wanted: kinds.Resource, snapshot: Snapshot) -> kinds.Resource:
        """Old and new endpoints together, while the API's routes are still those for the old."""
        api = kinds.api_of(name)
        before = (self.subscriptions[Kind.ENDPOINT].applied or {}).get(name)
        if before is None or before == wanted or self._piece(api) in (None, snapshot.pieces[api]):
            return wanted
        return endpoints.resource(name, endpoints.ordered(_both(before.endpoints, wanted.endpoints)))

    def _routes_are_current(self, snapshot: Snapshot) -> bool:
        return self.subscriptions[Kind.ROUTE].holds(snapshot.of(Kind.ROUTE))

    def _piece(self, api: str) -> kinds.Resource | None:
        return self._pieces.get(self.subscriptions[Kind.ROUTE].acked_version, {}).get(api)

    def _remember_pieces(self, version: str, snapshot: Snapshot) -> None:
        """Only the versions that are acknowledged or on their way are ever asked for."""
        acked = self.subscriptions[Kind.ROUTE].acked_version
        self._pieces = {key: pieces for key, pieces in self._pieces.items() if key == acked}
        self._pieces[version] = snapshot.pieces

    def _recognise(self, snapshot: Snapshot, now: float) -> None:
        for kind, held in self.subscriptions.items():
            if held.asked:
                held.recognise(self._of(kind, snapshot), now)
        table = self.subscriptions[Kind.ROUTE]
        if table.acked_version == kinds.version(snapshot.of(Kind.ROUTE)) and table.acked_version not in self._pieces:
            self._remember_pieces(table.acked_version, snapshot)

    def _of(self, kind: Kind, snapshot: Snapshot) -> Content:
        """What it ought to hold in the end, of the names it asks for."""
        wanted = snapshot.of(kind)
        if kind in (Kind.CLUSTER, Kind.LISTENER):
            return wanted
        return {name: wanted[name] for name in sorted(self.subscriptions[kind].names) if name in wanted}

    def _due(self, kind: Kind, snapshot: Snapshot) -> bool:
        """A gateway asks for no endpoints as long as there is no cluster."""
        return kind is not Kind.ENDPOINT or bool(snapshot.of(kind))

    def _concerns(self, kind: Kind, api: str, snapshot: Snapshot) -> bool:
        if kind is Kind.LISTENER:
            return True
        if kind is Kind.ROUTE:
            return self._piece(api) != snapshot.pieces[api]
        applied, wanted = self.subscriptions[kind].applied or {}, snapshot.of(kind)
        return any(applied.get(name) != wanted[name] for name in snapshot.clusters_of(api))

    def _forget_dropped_clusters(self) -> None:
        """Once it has acknowledged a set of clusters, endpoints of any other lead nowhere."""
        held, assigned = self.subscriptions[Kind.CLUSTER], self.subscriptions[Kind.ENDPOINT]
        if held.applied is not None and held.sent is None:
            assigned.forget([name for name in assigned.applied or {} if name not in held.applied])


def _both(before: Iterable[model.Endpoint], after: Iterable[model.Endpoint]) -> tuple[model.Endpoint, ...]:
    """By replica, the newer address winning: a replica has one place."""
    merged: Mapping[str, model.Endpoint] = {endpoint.replica: endpoint for endpoint in (*before, *after)}
    return tuple(merged.values())
