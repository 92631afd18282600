"""The gateways as the reconciler sees them: implements `ports.GatewayPort` on top of the streams.

Publishing is a matter of this module's memory; the streams (`ads.py`) ask what is to be sent, and report what was said.
"""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence

import structlog

from services.apiserver import model, ports
from services.apiserver.xds import listener, snapshot, status
from services.apiserver.xds import stream as streams
from services.apiserver.xds.subscription import Push, Request
from services.chassis import clock as clocks

_log = structlog.get_logger("xds")
# A gateway whose stream broke serves on with what it had. Its replicas are not stopped before it had time to return.
_LINGER_SECONDS = 30.0
_FORGET_SECONDS = 600.0
Use = frozenset[tuple[str, str]]


@dataclasses.dataclass(slots=True)
class _Member:
    """A connected stream; `acked` holds per API the number of the publication and the route it holds in full."""

    stream: streams.Stream
    wake: asyncio.Event
    acked: dict[str, tuple[int, model.Route]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class _Departed:
    status: status.GatewayStatus
    in_use: Use | None
    time: float


class Gateway:
    """One per process. All methods are to be called from the event loop's thread."""

    def __init__(self, options: listener.Options, clock: clocks.Clock) -> None:
        self._options = options
        self._clock = clock
        self._snapshot: snapshot.Snapshot | None = None
        self._wanted: tuple[model.Route, ...] = ()
        self._refused: Mapping[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._publications = 0
        self._members: list[_Member] = []
        self._departed: dict[str, _Departed] = {}
        self._listeners: list[ports.Changed] = []
        self._told: Mapping[str, object] = {}

    def publish(self, routes: Sequence[model.Route]) -> None:
        wanted = tuple(routes)
        if self._snapshot is not None and wanted == self._wanted:
            return
        self._wanted = wanted
        self._refused = snapshot.admit(wanted)
        for api, problem in self._refused.items():
            _log.error("route cannot be configured; the gateway keeps the one before", api=api, problem=problem)
        before = self._snapshot.routes if self._snapshot else {}
        admitted = _admitted(wanted, self._refused, before) if self._refused else wanted
        self._number(admitted, before)
        self._snapshot = snapshot.build(admitted, self._options)
        self._refresh()
        for member in self._members:
            member.wake.set()

    def view(self) -> model.GatewayView:
        use = self._in_use()
        return model.GatewayView(
            connected=bool(self._members),
            acked={api: route for api, (_, route) in self._acked().items()},
            in_use=None if use is None else frozenset(replica for _, replica in use),
            rejected=self._rejected(),
            last_seen=self._last_seen(),
        )

    def on_change(self, changed: ports.Changed) -> None:
        self._listeners.append(changed)

    def statuses(self) -> Sequence[status.GatewayStatus]:
        """Connected or seen lately, by node id."""
        now = self._clock.now()
        self._departed = {k: v for k, v in self._departed.items() if now - v.time < _FORGET_SECONDS}
        found = {node: departed.status for node, departed in self._departed.items()}
        found |= {it.stream.node_id: status.describe(it.stream, self._snapshot) for it in self._current()}
        return [found[node] for node in sorted(found)]

    # What the streams call.

    def join(self, stream: streams.Stream, wake: asyncio.Event) -> None:
        self._members.append(_Member(stream, wake))
        self._departed.pop(stream.node_id, None)
        _log.info("gateway connected", node=stream.node_id, agent=stream.user_agent)
        self._tell()

    def leave(self, stream: streams.Stream) -> None:
        now = self._clock.now()
        last = dataclasses.replace(status.describe(stream, self._snapshot), connected=False, connect_time=now)
        self._members = [member for member in self._members if member.stream is not stream]
        if all(member.stream.node_id != stream.node_id for member in self._members):
            self._departed[stream.node_id] = _Departed(last, stream.in_use(), now)
        _log.warning("gateway disconnected", node=stream.node_id)
        self._tell()

    def heard(self, stream: streams.Stream, request: Request) -> None:
        stream.request(request, self._clock.now())
        if request.error:
            _log.error(
                "gateway refused configuration", node=stream.node_id, kind=request.kind.name, words=request.error
            )
        self._refresh()

    def pushes(self, stream: streams.Stream) -> Sequence[Push]:
        """Nothing before the first publication: until then the gateways keep what they have."""
        if self._snapshot is None:
            return ()
        pushes = stream.pushes(self._snapshot, self._clock.now())
        self._refresh()
        return pushes

    def unsettled(self, stream: streams.Stream) -> bool:
        return self._snapshot is not None and stream.unsettled(self._snapshot, self._clock.now())

    # Inside.

    def _number(self, routes: Sequence[model.Route], before: Mapping[str, model.Route]) -> None:
        """Every route that is new or differs is a later one than all before it."""
        self._publications += 1
        changed = {route.api: self._publications for route in routes if before.get(route.api) != route}
        self._numbers = {route.api: self._numbers.get(route.api, 0) for route in routes} | changed

    def _refresh(self) -> None:
        if self._snapshot is not None:
            for member in self._members:
                self._note(member, self._snapshot)
        self._tell()

    def _note(self, member: _Member, current: snapshot.Snapshot) -> None:
        for api, route in current.routes.items():
            if member.stream.holds(api, current):
                member.acked[api] = (self._numbers[api], route)
        for api in member.acked.keys() - current.routes.keys():
            if not member.stream.has_routes_of(api):
                del member.acked[api]

    def _current(self) -> list[_Member]:
        """One per node: after a broken connection an older stream may linger, which nobody answers."""
        return list({member.stream.node_id: member for member in self._members}.values())

    def _acked(self) -> dict[str, tuple[int, model.Route]]:
        members = self._current()
        if not members:
            return {}
        shared = set(members[0].acked).intersection(*(member.acked for member in members))
        return {api: min((member.acked[api] for member in members), key=lambda it: it[0]) for api in sorted(shared)}

    def _in_use(self) -> Use | None:
        if not self._members:
            return None
        since = self._clock.now() - _LINGER_SECONDS
        parts = [member.stream.in_use() for member in self._members]
        parts += [departed.in_use for departed in self._departed.values() if departed.time > since]
        known = [part for part in parts if part is not None]
        return frozenset().union(*known) if len(known) == len(parts) else None

    def _rejected(self) -> Mapping[str, str]:
        if self._snapshot is None:
            return dict(self._refused)
        words = [pair for member in self._current() for pair in member.stream.refusals(self._snapshot)]
        return dict(words) | dict(self._refused)

    def _last_seen(self) -> float | None:
        if self._members:
            return self._clock.now()
        return max((departed.time for departed in self._departed.values()), default=None)

    def _tell(self) -> None:
        """Calls the listeners for each API of which the view says something else than it did."""
        known = self._signatures()
        before, self._told = self._told, known
        for api in sorted(known.keys() | before.keys()):
            if known.get(api) != before.get(api):
                for changed in self._listeners:
                    changed(api)

    def _signatures(self) -> Mapping[str, object]:
        acked, use, rejected = self._acked(), self._in_use(), self._rejected()
        replicas: dict[str, list[str]] = {}
        for api, replica in sorted(use or ()):
            replicas.setdefault(api, []).append(replica)
        apis = {route.api for route in self._wanted} | acked.keys() | replicas.keys()
        state = (bool(self._members), use is None)
        return {
            api: (state, acked.get(api, (0, None))[0], rejected.get(api), tuple(replicas.get(api, ()))) for api in apis
        }


def _admitted(
    wanted: Sequence[model.Route], refused: Mapping[str, str], before: Mapping[str, model.Route]
) -> Sequence[model.Route]:
    """A refused route is replaced by the one that served before it, where that is still possible."""
    chosen = [route for route in wanted if route.api not in refused]
    names = {route.api for route in chosen}
    fallback = {api: before[api] for api in refused if api in before and api not in names}
    conflicts = snapshot.admit([*chosen, *fallback.values()])
    return [*chosen, *(route for api, route in fallback.items() if api not in conflicts)]
