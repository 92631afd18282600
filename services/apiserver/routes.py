"""The routes of all APIs, and the rule about the first time they are shown to anybody.

A restarted apiserver knows nothing at first. It shows the gateways nothing either until every API has been planned on a
fresh observation: a gateway never sees a route shrink because the control plane was away.
"""

from collections.abc import Iterable

from services.apiserver import model, ports


class RouteTable:
    def __init__(self, gateway: ports.GatewayPort) -> None:
        self._gateway = gateway
        self._routes: dict[str, model.Route] = {}
        self._planned: set[str] = set()
        self._missing: set[str] = set()
        self._open = False

    @property
    def open(self) -> bool:
        return self._open

    def get(self, api: str) -> model.Route | None:
        return self._routes.get(api)

    def put(self, route: model.Route) -> None:
        self._routes[route.api] = route
        self._publish()

    def drop(self, api: str) -> None:
        if self._routes.pop(api, None) is not None:
            self._publish()

    def planned(self, api: str) -> bool:
        """Whether `open_when_complete` is worth a try: it lists all APIs, so not after each of them."""
        self._planned.add(api)
        self._missing.discard(api)
        return not self._missing

    def open_when_complete(self, apis: Iterable[str]) -> bool:
        """Shows the table when each of `apis` has been planned. True when this call opened it."""
        if self._open:
            return False
        self._missing = set(apis) - self._planned
        if self._missing:
            return False
        self._open = True
        self._planned.clear()
        self._publish()
        return True

    def _publish(self) -> None:
        if self._open:
            self._gateway.publish([self._routes[name] for name in sorted(self._routes)])
