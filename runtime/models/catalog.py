"""What models there are, which revision of each is fit to serve, and why another is not. Owned by the loop.

A revision is one content of one version. A new one takes over once it was loaded somewhere; until then, and when it
turns out to be broken, the one before it serves.
"""

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from runtime.inference import RepositoryEntry
from runtime.models import layout
from runtime.models.sources import Source

LATEST = "latest"


class State(enum.Enum):
    LISTED = "LISTED"  # its files are not here
    FETCHING = "FETCHING"
    READY = "READY"  # its files are here
    FAILED = "FAILED"


class ModelError(Exception):
    """No model to give. `status` is the HTTP status for a caller who asked for it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclasses.dataclass(eq=False, slots=True)
class Revision:
    """Compared by identity: the same content found again is the same object."""

    model: str
    version: str
    content: layout.Content
    source: Source
    digest: str
    state: State = State.LISTED
    reason: str = ""
    status: int = 503  # for callers while it is FAILED
    path: str = ""  # of its files here, while READY
    proven: bool = False  # somebody has loaded it
    broken: bool = False  # its files are here, and nobody can load them
    failures: int = 0  # to bring its files here, in a row
    retry_time: float = 0.0  # monotonic; when to try that again
    gone: bool = False  # the source does not have it any more
    leases: int = 0
    used: float = 0.0

    @property
    def bytes(self) -> int:
        return self.content.bytes

    @property
    def title(self) -> str:
        return f"{self.model}/{self.version}"


@dataclasses.dataclass(slots=True)
class _Place:
    current: Revision
    previous: Revision | None = None  # served well; kept until `current` has


class Catalog:
    """By name and version."""

    def __init__(self) -> None:
        self._models: dict[str, dict[str, _Place]] = {}

    @property
    def names(self) -> list[str]:
        return sorted(self._models)

    def versions(self, name: str) -> list[str]:
        """Newest first. Raises ModelError."""
        return layout.newest_first(self._find(name))

    def revisions(self) -> Iterable[Revision]:
        for places in self._models.values():
            for place in places.values():
                yield place.current
                if place.previous is not None:
                    yield place.previous

    def replace(self, name: str, source: Source, found: Mapping[str, layout.Content]) -> list[Revision]:
        """What a look at the source found of one model. Returns the revisions that are new."""
        places = self._models.setdefault(name, {})
        for version in set(places) - set(found):
            self._drop(places.pop(version))
        fresh = []
        for version, content in found.items():
            place = places.get(version)
            if place is not None and place.current.digest == content.digest:
                continue
            revision = Revision(name, version, content, source, content.digest)
            if content.problem:
                revision.state, revision.reason = State.FAILED, content.problem
            places[version] = self._succeed(place, revision)
            fresh.append(revision)
        if not places:
            del self._models[name]
        return fresh

    def remove(self, name: str) -> None:
        for place in self._models.pop(name, {}).values():
            self._drop(place)

    def candidates(self, name: str | None, version: str) -> list[Revision]:
        """What could answer, best first; those that failed only where there is nothing else. Raises ModelError."""
        places = self._find(name)
        if version != LATEST and version not in places:
            known = ", ".join(layout.newest_first(places))
            raise ModelError(404, f"model {self.resolve_name(name)!r} has no version {version!r}; it has: {known}")
        wanted = layout.newest_first(places) if version == LATEST else [version]
        found: list[Revision] = []
        for place in (places[each] for each in wanted):
            found.append(place.current)
            if place.previous is not None:
                found.append(place.previous)
        return [each for each in found if each.state is not State.FAILED] or found

    def prove(self, revision: Revision) -> None:
        """It was loaded, so what it replaced is of no further use."""
        revision.proven = True
        place = self._models.get(revision.model, {}).get(revision.version)
        if place is not None and place.current is revision and place.previous is not None:
            place.previous.gone = True
            place.previous = None

    def index(self) -> list[RepositoryEntry]:
        return [
            RepositoryEntry(name, version, *_shown(self._models[name][version]))
            for name in self.names
            for version in reversed(layout.newest_first(self._models[name]))
        ]

    def resolve_name(self, name: str | None) -> str:
        """None means the only model. Raises ModelError."""
        if name is None and len(self._models) == 1:
            return next(iter(self._models))
        if name is None:
            raise ModelError(400, f"there are several models, so name one of: {', '.join(self.names) or 'none'}")
        return name

    def _find(self, name: str | None) -> dict[str, _Place]:
        found = self._models.get(self.resolve_name(name))
        if found is None:
            raise ModelError(404, f"there is no model {name!r}; there are: {', '.join(self.names) or 'none'}")
        return found

    @staticmethod
    def _succeed(place: _Place | None, revision: Revision) -> _Place:
        if place is None:
            return _Place(revision)
        old = place.current
        kept = old if old.proven and old.state is State.READY else place.previous
        for each in (old, place.previous):
            if each is not None and each is not kept:
                each.gone = True
        return _Place(revision, kept)

    @staticmethod
    def _drop(place: _Place) -> None:
        place.current.gone = True
        if place.previous is not None:
            place.previous.gone = True


def _shown(place: _Place) -> tuple[str, str]:
    """State and reason in the words of the repository index. What is not here yet is loaded when first asked for."""
    current, previous = place.current, place.previous
    if current.state is State.READY:
        return "READY", ""
    if previous is not None:
        return "READY", f"the files before the last change serve; the new ones: {current.reason or 'on their way'}"
    if current.state is State.FETCHING:
        return "LOADING", ""
    return "UNAVAILABLE", current.reason or "not fetched yet; it is when first asked for"
