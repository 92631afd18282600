"""What is said to a gateway, in which order, and what is known of it."""

from services.apiserver.xds import gateway as gateways
from services.apiserver.xds import listener
from services.apiserver.xds.kinds import Kind
from services.apiserver.xds.subscription import Push, Request
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_envoy import ScriptedEnvoy, messages, names
from tests.unit.xds.samples import route

R1 = "namespaces/default/apis/a/revisions/r1"
R2 = "namespaces/default/apis/a/revisions/r2"
OLD = route("a", {"r1": (100, [1])})
NEW = route("a", {"r2": (100, [2])})
OTHER = route("b", {"r1": (50, [3]), "r2": (50, [4])})


def _gateway(clock: FakeClock | None = None) -> gateways.Gateway:
    return gateways.Gateway(listener.Options("127.0.0.1:8888", "/tmp/access.log"), clock or FakeClock())


def _connected(gateway: gateways.Gateway) -> ScriptedEnvoy:
    envoy = ScriptedEnvoy(gateway)
    envoy.connect()
    return envoy


def _kinds(pushes: list[Push]) -> list[Kind]:
    return [push.kind for push in pushes]


def test_nothing_is_said_before_the_first_publication() -> None:
    gateway = _gateway()
    envoy = _connected(gateway)
    assert envoy.converse() == []
    gateway.publish([])
    assert _kinds(envoy.converse()) == [Kind.CLUSTER, Kind.LISTENER, Kind.ROUTE]
    assert gateway.statuses()[0].in_sync


def test_additions_travel_from_cluster_to_route() -> None:
    gateway = _gateway()
    gateway.publish([OLD])
    envoy = _connected(gateway)
    assert _kinds(envoy.converse()) == [Kind.CLUSTER, Kind.ENDPOINT, Kind.LISTENER, Kind.ROUTE]
    assert _kinds(envoy.converse()) == []


def test_a_route_waits_for_the_endpoints_to_be_acknowledged() -> None:
    gateway = _gateway()
    gateway.publish([OLD])
    envoy = _connected(gateway)
    envoy.converse()
    gateway.publish([OLD, route("b", {"r1": (100, [3])})])
    [clusters] = envoy.listen()
    envoy.answer(clusters)
    [endpoints] = envoy.listen()
    assert endpoints.kind is Kind.ENDPOINT and envoy.listen() == []
    envoy.answer(endpoints)
    assert _kinds(envoy.converse()) == [Kind.ROUTE]


def test_a_replaced_revision_stays_until_the_routes_have_left_it() -> None:
    gateway = _gateway()
    gateway.publish([OLD])
    envoy = _connected(gateway)
    envoy.converse()
    gateway.publish([NEW])
    first, *_, routes, last, settled = envoy.converse()
    assert set(names(first)) == {R1, f"{R1}#grpc", R2, f"{R2}#grpc"}
    assert (routes.kind, last.kind) == (Kind.ROUTE, Kind.CLUSTER) and set(names(last)) == {R2, f"{R2}#grpc"}
    assert settled.kind is Kind.ENDPOINT and settled.resources == ()
    assert gateway.view().in_use == frozenset({"replica-2"}) and gateway.statuses()[0].in_sync


def test_a_replica_is_in_use_until_its_removal_is_acknowledged() -> None:
    gateway = _gateway()
    gateway.publish([OLD])
    envoy = _connected(gateway)
    envoy.converse()
    gateway.publish([NEW])
    seen = []
    while pushes := envoy.listen():
        for push in pushes:
            seen.append((push.kind.name, sorted(gateway.view().in_use or ())))
            envoy.answer(push)
    both = ["replica-1", "replica-2"]
    assert seen == [
        ("CLUSTER", ["replica-1"]),
        ("ENDPOINT", both),
        ("ROUTE", both),
        ("CLUSTER", both),
        ("ENDPOINT", ["replica-2"]),
    ]


def test_endpoints_only_grow_while_the_routes_of_their_api_are_about_to_change() -> None:
    gateway = _gateway()
    gateway.publish([OLD])
    envoy = _connected(gateway)
    envoy.converse()
    gateway.publish([route("a", {"r1": (100, [5])}, activate=True)])
    grown, routes, shrunk = [push for push in envoy.converse() if push.kind in (Kind.ENDPOINT, Kind.ROUTE)]
    assert [_ports(push) for push in (grown, shrunk)] == [{20001, 20005, 21001, 21005}, {20005, 21005}]
    assert routes.kind is Kind.ROUTE


def test_only_changed_endpoints_are_sent_and_nothing_else() -> None:
    gateway = _gateway()
    other = route("b", {"r1": (100, [3])})
    gateway.publish([OLD, other])
    envoy = _connected(gateway)
    envoy.converse()
    gateway.publish([route("a", {"r1": (100, [1, 2])}), other])
    [push] = envoy.converse()
    assert push.kind is Kind.ENDPOINT and set(names(push)) == {R1, f"{R1}#grpc"}


def test_a_cluster_that_comes_back_gets_its_endpoints_again() -> None:
    """Rolling back to an older revision: its endpoints are equal to those the gateway once had."""
    gateway = _gateway()
    gateway.publish([OLD])
    envoy = _connected(gateway)
    envoy.converse()
    for wanted in (NEW, OLD):
        gateway.publish([wanted])
        pushes = envoy.converse()
    assert R1 in {name for push in pushes if push.kind is Kind.ENDPOINT for name in names(push)}
    assert gateway.view().acked == {OLD.api: OLD}


def test_an_answer_to_an_older_response_is_ignored() -> None:
    gateway = _gateway()
    gateway.publish([])
    envoy = _connected(gateway)
    [push] = envoy.listen()
    gateway.heard(envoy.stream, Request(Kind.CLUSTER, version=push.version, nonce="another"))
    assert gateway.statuses()[0].resources[0].acked_version == ""


def test_a_request_that_follows_a_refusal_is_no_acknowledgement() -> None:
    gateway = _gateway()
    gateway.publish([OLD])
    envoy = _connected(gateway)
    envoy.refuses = {Kind.CLUSTER}
    [push] = envoy.converse()
    gateway.heard(envoy.stream, Request(Kind.CLUSTER, version="", nonce=push.nonce))
    [status] = gateway.statuses()
    assert status.resources[0].error == "no CLUSTER, thank you" and status.resources[0].acked_version == ""
    assert envoy.listen() == []


def test_what_was_refused_is_not_sent_again_and_the_next_version_is() -> None:
    gateway = _gateway()
    gateway.publish([OLD])
    envoy = _connected(gateway)
    envoy.converse()
    envoy.refuses = {Kind.ROUTE}
    gateway.publish([NEW])
    envoy.converse()
    view = gateway.view()
    assert view.acked == {OLD.api: OLD} and view.rejected == {NEW.api: "ROUTE: no ROUTE, thank you"}
    assert view.in_use == frozenset({"replica-1", "replica-2"})
    gateway.publish([NEW])
    assert envoy.converse() == []
    envoy.refuses = set()
    later = route("a", {"r3": (100, [3])})
    gateway.publish([later])
    envoy.converse()
    view = gateway.view()
    assert view.acked == {later.api: later} and view.rejected == {} and view.in_use == frozenset({"replica-3"})


def test_a_gateway_that_returns_to_a_new_process_is_sent_nothing() -> None:
    first = _gateway()
    first.publish([OLD, OTHER])
    envoy = _connected(first)
    envoy.converse()
    first.publish([OLD])
    envoy.converse()
    envoy.gateway = _gateway()
    envoy.gateway.publish([OLD])
    envoy.connect()
    assert envoy.converse() == []
    assert envoy.gateway.statuses()[0].in_sync
    assert envoy.gateway.view().acked == {OLD.api: OLD} and envoy.gateway.view().in_use == frozenset({"replica-1"})


def test_a_gateway_that_returns_unknown_uses_nobody_knows_what() -> None:
    first = _gateway()
    first.publish([OLD])
    envoy = _connected(first)
    envoy.converse()
    envoy.gateway = _gateway()
    envoy.connect()
    view = envoy.gateway.view()
    assert view.connected and view.acked == {} and view.in_use is None


def test_a_cluster_that_only_the_returning_gateway_knows_outlives_the_routes() -> None:
    """The process died between the routes and the clusters of a rollout."""
    first = _gateway()
    first.publish([OLD])
    envoy = _connected(first)
    envoy.converse()
    envoy.gateway = _gateway()
    envoy.gateway.publish([NEW])
    envoy.connect()
    pushes = envoy.converse()
    clusters = [set(names(push)) for push in pushes if push.kind is Kind.CLUSTER]
    assert clusters == [{R1, f"{R1}#grpc", R2, f"{R2}#grpc"}, {R2, f"{R2}#grpc"}]
    assert [push.kind for push in pushes].index(Kind.ROUTE) < len(pushes) - 1
    assert envoy.gateway.view().in_use == frozenset({"replica-2"})


def test_strange_clusters_are_not_touched_until_the_gateway_has_named_its_routes() -> None:
    clock = FakeClock()
    gateway = _gateway(clock)
    gateway.publish([NEW])
    envoy = ScriptedEnvoy(gateway, versions={Kind.CLUSTER: "strange"}, now=clock.now())
    envoy.connect()
    assert envoy.listen() == [] and gateway.unsettled(envoy.stream)
    clock.advance(1.0)
    assert _kinds(list(envoy.listen())) == [Kind.CLUSTER]


def test_acknowledged_means_by_every_gateway() -> None:
    gateway = _gateway()
    gateway.publish([OLD])
    one, two = ScriptedEnvoy(gateway, node="one"), ScriptedEnvoy(gateway, node="two")
    for envoy in (one, two):
        envoy.connect()
        envoy.converse()
    gateway.publish([NEW])
    one.converse()
    view = gateway.view()
    assert view.acked == {OLD.api: OLD} and view.in_use == frozenset({"replica-1", "replica-2"})
    two.converse()
    assert gateway.view().acked == {NEW.api: NEW} and gateway.view().in_use == frozenset({"replica-2"})


def test_a_lost_gateway_is_counted_among_those_that_use_replicas_for_a_while() -> None:
    clock = FakeClock()
    gateway = _gateway(clock)
    gateway.publish([OLD])
    one, two = ScriptedEnvoy(gateway, node="one"), ScriptedEnvoy(gateway, node="two")
    for envoy in (one, two):
        envoy.connect()
        envoy.converse()
    two.disconnect()
    gateway.publish([NEW])
    one.converse()
    assert gateway.view().in_use == frozenset({"replica-1", "replica-2"})
    clock.advance(60.0)
    assert gateway.view().in_use == frozenset({"replica-2"})


def test_versions_are_the_same_in_every_process_and_order() -> None:
    other = route("b", {"r1": (100, [3])})
    told = []
    for routes in ([OLD, other], [other, OLD]):
        gateway = _gateway()
        gateway.publish(routes)
        envoy = _connected(gateway)
        told.append([(push.kind, push.version) for push in envoy.converse()])
    assert told[0] == told[1]


def _ports(push: Push) -> set[int]:
    return {
        host.endpoint.address.socket_address.port_value
        for message in messages(push)
        for locality in message.endpoints
        for host in locality.lb_endpoints
    }
