"""A gateway at the other end of an ADS stream, without a network: it takes what it is sent, or refuses it on demand.

Behaves as Envoy does where it matters: it asks for endpoints of the clusters it was given, for the routes its listener
names, and on a new stream it claims the versions it holds.
"""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

from services import xds_types
from services.apiserver.xds import gateway as gateways
from services.apiserver.xds import routes, stream
from services.apiserver.xds.kinds import Kind
from services.apiserver.xds.subscription import Push, Request


@dataclasses.dataclass
class ScriptedEnvoy:
    """`heard` is every response in order. `refuses` are kinds to be answered with a refusal."""

    gateway: gateways.Gateway
    node: str = "gateway-1"
    refuses: set[Kind] = dataclasses.field(default_factory=set)
    heard: list[Push] = dataclasses.field(default_factory=list)
    versions: dict[Kind, str] = dataclasses.field(default_factory=dict)
    clusters: frozenset[str] = frozenset()
    now: float = 0.0

    def connect(self) -> None:
        self._nonces: dict[Kind, str] = {}
        self.stream = stream.Stream(self.node, "scripted 1.0.0", self.now)
        self.gateway.join(self.stream, asyncio.Event())
        known = [kind for kind in Kind if kind is Kind.CLUSTER or kind in self.versions]
        for kind in known:
            self._say(kind)

    def disconnect(self) -> None:
        self.gateway.leave(self.stream)

    def listen(self) -> Sequence[Push]:
        """Takes what is being sent without answering it."""
        pushes = self.gateway.pushes(self.stream)
        self.heard += pushes
        return pushes

    def answer(self, push: Push) -> None:
        self._nonces[push.kind] = push.nonce
        if push.kind in self.refuses:
            self._say(push.kind, error=f"no {push.kind.name}, thank you")
            return
        self.versions[push.kind] = push.version
        follow = self._follow(push)
        self._say(push.kind)
        for kind in follow:
            self._say(kind)

    def converse(self) -> list[Push]:
        """Answers everything until nothing more is said."""
        said: list[Push] = []
        while pushes := self.listen():
            said += pushes
            for push in pushes:
                self.answer(push)
        return said

    def _follow(self, push: Push) -> list[Kind]:
        """What Envoy asks next: endpoints of new clusters, the listener once warm, the routes the listener names."""
        if push.kind is Kind.LISTENER:
            return [] if Kind.ROUTE in self.versions else [Kind.ROUTE]
        if push.kind is not Kind.CLUSTER:
            return []
        before, self.clusters = self.clusters, frozenset(names(push))
        follow = [Kind.ENDPOINT] if before != self.clusters else []
        return follow if Kind.LISTENER in self.versions else [*follow, Kind.LISTENER]

    def _say(self, kind: Kind, error: str = "") -> None:
        names = {Kind.ENDPOINT: self.clusters, Kind.ROUTE: frozenset({routes.NAME})}.get(kind, frozenset())
        version, nonce = self.versions.get(kind, ""), self._nonces.get(kind, "")
        self.gateway.heard(self.stream, Request(kind, names, version, nonce, error))


def names(push: Push) -> list[str]:
    """Names of the resources in a response."""
    return [getattr(message, "cluster_name", "") or message.name for message in messages(push)]


def messages(push: Push) -> list[Any]:
    make = xds_types.message("google.protobuf.Any")
    return [xds_types.parse_any(make.FromString(data)) for data in push.resources]
