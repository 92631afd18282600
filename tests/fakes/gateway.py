"""`ports.GatewayPort` without Envoy: one gateway that obeys after a while, and keeps what it has when cut off."""

import dataclasses
from collections.abc import Mapping, Sequence

from services.apiserver import model, observation, ports
from services.chassis import clock as clocks


@dataclasses.dataclass
class FakeEnvoy:
    """What the gateway really does. It outlives every FakeGateway."""

    routes: dict[str, model.Route] = dataclasses.field(default_factory=dict)

    def ids(self) -> frozenset[str]:
        return frozenset[str]().union(*(observation.endpoint_ids(route) for route in self.routes.values()))


class FakeGateway:
    """The xDS server's side. Knows nothing of the gateway's past until the first acknowledgement."""

    def __init__(self, clock: clocks.Clock, envoy: FakeEnvoy | None = None, ack_seconds: float = 0.0) -> None:
        self._clock = clock
        self.envoy = envoy or FakeEnvoy()
        self.ack_seconds = ack_seconds
        self.connected = True
        self.rejected: dict[str, str] = {}
        self.published: list[dict[str, model.Route]] = []
        self._pending: tuple[float, dict[str, model.Route]] | None = None
        self._acked: dict[str, model.Route] | None = None
        self._seen: float | None = clock.now()
        self._listeners: list[ports.Changed] = []

    def publish(self, routes: Sequence[model.Route]) -> None:
        wanted = {route.api: route for route in routes}
        if self.published and self.published[-1] == wanted:
            return
        self.published.append(wanted)
        self._pending = (self._clock.now() + self.ack_seconds, wanted)
        if self.ack_seconds == 0:
            self.tick()

    def view(self) -> model.GatewayView:
        if not self.connected:
            return model.GatewayView(False, {}, None, dict(self.rejected), self._seen)
        self._seen = self._clock.now()
        return model.GatewayView(True, dict(self._acked or {}), self._in_use(), dict(self.rejected), self._seen)

    def on_change(self, changed: ports.Changed) -> None:
        self._listeners.append(changed)

    def tick(self) -> None:
        """Acknowledges what is due."""
        if self._pending is None or not self.connected or self._clock.now() < self._pending[0]:
            return
        before, self._acked = self._acked or {}, self._pending[1]
        self._pending = None
        self.envoy.routes = dict(self._acked)
        for api in sorted(self._moved(before, self._acked)):
            for changed in self._listeners:
                changed(api)

    def cut(self) -> None:
        """The stream breaks: the gateway goes on with what it has."""
        self.connected, self._acked = False, None

    def mend(self) -> None:
        self.connected = True
        if self.published:
            self._pending = (self._clock.now() + self.ack_seconds, self.published[-1])

    def _in_use(self) -> frozenset[str] | None:
        if self._acked is None:
            return None
        routes = [*self._acked.values(), *(self._pending[1].values() if self._pending else ())]
        return frozenset[str]().union(*map(observation.endpoint_ids, routes))

    @staticmethod
    def _moved(before: Mapping[str, model.Route], after: Mapping[str, model.Route]) -> set[str]:
        return {api for api in before.keys() | after.keys() if before.get(api) != after.get(api)}
