"""One resource type on one stream: what the gateway asked for, was sent, and says it holds."""

import dataclasses
from collections.abc import Iterable, Mapping

from services.apiserver.xds import kinds

Content = Mapping[str, kinds.Resource]


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A DiscoveryRequest in our words. `error` is the gateway's, empty unless it refuses."""

    kind: kinds.Kind
    names: frozenset[str] = frozenset()
    version: str = ""
    nonce: str = ""
    error: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Push:
    """A DiscoveryResponse in our words: `resources` are serialised Anys."""

    kind: kinds.Kind
    version: str
    nonce: str
    resources: tuple[bytes, ...]


class Subscription:
    """`applied` is the content the gateway holds; None while it holds something we do not know.

    A gateway that comes back names the version it holds (`claimed`). Versions are hashes of content, so where the claim
    equals what we would send, nothing is sent and everything is known.
    """

    def __init__(self, kind: kinds.Kind) -> None:
        self.kind = kind
        self.asked = False
        self.names: frozenset[str] = frozenset()
        self.applied: dict[str, kinds.Resource] | None = {}
        self.claimed = ""
        self._unknown: frozenset[str] = frozenset()
        self.sent: dict[str, kinds.Resource] | None = None
        self.rejected: dict[str, kinds.Resource] | None = None
        self.sent_version = self.acked_version = self.nonce = self.error = ""
        self.ack_time: float | None = None
        self.nack_time: float | None = None
        self._pushes = 0
        # A response may hold some endpoints of many; of the other types it always holds everything.
        self._in_parts = kind is kinds.Kind.ENDPOINT

    def request(self, request: Request, now: float) -> None:
        """Requests that answer an older response are stale: a newer one is on its way and will be answered too."""
        if not self.asked:
            self.asked = True
            self.claimed = request.version
            self.applied = None if request.version else {}
            self._unknown = request.names if request.version else frozenset()
        elif request.nonce != self.nonce:
            return
        self.names = request.names
        if self._in_parts and self.applied:
            # What it does not name any more it does not hold any more.
            self.applied = {name: held for name, held in self.applied.items() if name in self.names}
        if self.sent is None:
            return
        if request.error:
            self._refused(request.error, now)
        elif request.version == self.sent_version:
            self._accepted(now)

    def recognise(self, wanted: Content, now: float) -> None:
        """Compares the claim of a gateway that came back with what it ought to hold."""
        if self.applied is None and self.sent is None and self.claimed == kinds.version(wanted):
            self.applied = dict(wanted)
            self.sent_version = self.acked_version = self.claimed
            self.ack_time = now

    def holds(self, wanted: Content) -> bool:
        if self._in_parts and not self.names:
            return True
        return self.sent is None and not self._missing(wanted) and self.acked_version == kinds.version(wanted)

    def push(self, wanted: Content) -> Push | None:
        """The next response, unless one is unanswered, or the gateway holds `wanted`, or has refused just that."""
        if not self.asked or self.sent is not None or self.holds(wanted) or wanted == self.rejected:
            return None
        self._pushes += 1
        self.nonce = str(self._pushes)
        names = self._missing(wanted) if self._in_parts else wanted
        self.sent, self.sent_version = dict(wanted), kinds.version(wanted)
        return Push(self.kind, self.sent_version, self.nonce, tuple(wanted[name].data for name in names))

    def _missing(self, wanted: Content) -> list[str]:
        held = self.applied or {}
        return [name for name, resource in wanted.items() if held.get(name) != resource]

    def _accepted(self, now: float) -> None:
        assert self.sent is not None
        kept = self.applied if self._in_parts and self.applied is not None else {}
        self.applied = {**kept, **self.sent}
        self.acked_version, self.ack_time = self.sent_version, now
        self.sent = self.rejected = None
        self.error = ""

    def _refused(self, error: str, now: float) -> None:
        self.rejected, self.sent = self.sent, None
        self.error, self.nack_time = error, now

    def forget(self, names: Iterable[str]) -> None:
        """The gateway no longer holds these, or will not once it has read what was sent."""
        gone = set(names)
        for held in filter(None, (self.applied, self.sent, self.rejected)):
            for name in gone & held.keys():
                del held[name]

    def unknown(self) -> bool:
        """Whether it came with things whose content we have not learnt yet."""
        return self.applied is None or bool(self._unknown & self.names - self.applied.keys())

    def holdings(self) -> Iterable[tuple[str, kinds.Resource]]:
        """All that may be in effect: what is applied, on its way, or was refused and perhaps taken in part."""
        for content in (self.applied, self.sent, self.rejected):
            yield from (content or {}).items()
