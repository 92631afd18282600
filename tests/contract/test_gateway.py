"""What every `ports.GatewayPort` does: the fake that the planner is tested on, and the xDS server."""

from collections.abc import Callable
from typing import Protocol

import pytest

from services.apiserver import ports
from services.apiserver.xds import gateway as gateways
from services.apiserver.xds import listener
from tests.fakes import gateway as fakes
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_envoy import ScriptedEnvoy
from tests.unit.xds.samples import route

ONE = route("one", {"r1": (100, [1])})
NEXT = route("one", {"r2": (100, [2])})
TWO = route("two", {"r1": (100, [3])})


class Bench(Protocol):
    """A port with a gateway behind it that does nothing until told to."""

    port: ports.GatewayPort

    def settle(self) -> None: ...

    def cut(self) -> None: ...

    def mend(self) -> None: ...


class FakeBench:
    def __init__(self) -> None:
        self._clock = FakeClock()
        self._fake = fakes.FakeGateway(self._clock, ack_seconds=1.0)
        self.port: ports.GatewayPort = self._fake

    def settle(self) -> None:
        self._clock.advance(2.0)
        self._fake.tick()

    def cut(self) -> None:
        self._fake.cut()

    def mend(self) -> None:
        self._fake.mend()


class XdsBench:
    def __init__(self) -> None:
        gateway = gateways.Gateway(listener.Options("127.0.0.1:8888", ""), FakeClock())
        self._envoy = ScriptedEnvoy(gateway)
        self._envoy.connect()
        self.port: ports.GatewayPort = gateway

    def settle(self) -> None:
        self._envoy.converse()

    def cut(self) -> None:
        self._envoy.disconnect()

    def mend(self) -> None:
        self._envoy.connect()


@pytest.fixture(params=[FakeBench, XdsBench])
def bench(request: pytest.FixtureRequest) -> Bench:
    make: Callable[[], Bench] = request.param
    return make()


def test_what_is_acknowledged_is_what_was_published(bench: Bench) -> None:
    bench.port.publish([ONE, TWO])
    bench.settle()
    view = bench.port.view()
    assert view.connected and view.rejected == {} and view.last_seen is not None
    assert view.acked == {ONE.api: ONE, TWO.api: TWO} and view.in_use == frozenset({"replica-1", "replica-3"})


def test_until_it_is_acknowledged_the_route_before_counts(bench: Bench) -> None:
    bench.port.publish([ONE])
    bench.settle()
    bench.port.publish([NEXT])
    view = bench.port.view()
    assert view.acked == {ONE.api: ONE} and view.in_use is not None and "replica-1" in view.in_use
    bench.settle()
    view = bench.port.view()
    assert view.acked == {NEXT.api: NEXT} and view.in_use == frozenset({"replica-2"})


def test_what_is_withdrawn_is_in_use_until_then(bench: Bench) -> None:
    bench.port.publish([ONE, TWO])
    bench.settle()
    bench.port.publish([TWO])
    assert "replica-1" in (bench.port.view().in_use or ())
    bench.settle()
    view = bench.port.view()
    assert view.acked == {TWO.api: TWO} and view.in_use == frozenset({"replica-3"})


def test_the_listener_hears_of_the_apis_that_moved(bench: Bench) -> None:
    bench.port.publish([ONE, TWO])
    bench.settle()
    heard: list[str] = []
    bench.port.on_change(heard.append)
    bench.port.publish([NEXT, TWO])
    bench.settle()
    assert set(heard) == {ONE.api}
    heard.clear()
    bench.port.publish([NEXT, TWO])
    bench.settle()
    assert heard == []


def test_while_it_is_cut_off_nothing_is_known(bench: Bench) -> None:
    bench.port.publish([ONE])
    bench.settle()
    bench.cut()
    view = bench.port.view()
    assert (view.connected, view.acked, view.in_use) == (False, {}, None) and view.last_seen is not None
    bench.mend()
    bench.settle()
    view = bench.port.view()
    assert view.connected and view.acked == {ONE.api: ONE} and view.in_use == frozenset({"replica-1"})


def test_what_is_published_while_it_is_cut_off_is_taken_on_return(bench: Bench) -> None:
    bench.port.publish([ONE])
    bench.settle()
    bench.cut()
    bench.port.publish([NEXT])
    bench.mend()
    bench.settle()
    assert bench.port.view().acked == {NEXT.api: NEXT} and bench.port.view().in_use == frozenset({"replica-2"})
