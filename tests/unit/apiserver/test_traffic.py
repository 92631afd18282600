"""Weights, and what a route holds when nobody is ready."""

import dataclasses

import pytest

from services.apiserver import model, traffic
from services.apiserver import spec as specs
from tests.fakes import records


@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        ({"r1": 1}, {"r1": 100}),
        ({"r1": 1, "r2": 1}, {"r1": 50, "r2": 50}),
        ({"r1": 1, "r2": 2}, {"r1": 33, "r2": 67}),
        ({"r1": 1, "r2": 1, "r3": 1}, {"r1": 34, "r2": 33, "r3": 33}),
        ({"r1": 100, "r2": 1}, {"r1": 99, "r2": 1}),
        ({}, {}),
    ],
)
def test_weights_follow_the_counts_and_sum_to_a_hundred(counts: dict[str, int], shares: dict[str, int]) -> None:
    assert traffic.weights(counts) == shares


@pytest.mark.parametrize(("least", "to_zero"), [(0, True), (1, False)])
def test_an_api_that_may_be_at_zero_says_so(least: int, to_zero: bool) -> None:
    scaling = specs.Autoscaling(min_replicas=least)
    api = records.serving()
    api = dataclasses.replace(api, spec=dataclasses.replace(api.spec, autoscaling=scaling))
    assert traffic.route(api, (), known=(), idle_revision="r1").to_zero is to_zero


def test_the_order_of_what_is_seen_does_not_matter() -> None:
    """Equal routes hash to equal versions: a restarted apiserver causes no churn."""
    replicas = [records.replica("b"), records.replica("a"), records.replica("c", "r2")]
    routes = [
        traffic.route(records.serving(), order, known=(), idle_revision="r1") for order in (replicas, replicas[::-1])
    ]
    assert routes[0] == routes[1]
    assert [e.replica for e in routes[0].revisions[0].endpoints] == ["a", "b"]


def test_without_replicas_the_route_holds_and_names_where_to_go() -> None:
    route = traffic.route(records.serving(), (), known=(), idle_revision="r1")
    assert (route.activate, route.revisions) == (True, (model.RevisionRoute("r1", 100, ()),))


def test_one_that_was_never_routed_waits_until_it_is_ready() -> None:
    starting = records.replica("a", state=model.ReplicaState.STARTING)
    assert traffic.route(records.serving(), [starting], known=(), idle_revision="r1").revisions[0].endpoints == ()
