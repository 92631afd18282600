"""The models of a replica: what each is, in which state, and the gate before it."""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

from runtime import errors
from runtime.inference import InferError, ModelMetadata, RepositoryEntry
from runtime.triton import model_config
from runtime.triton.gate import Bound, Gate, refusal
from runtime.triton.repository import Broken, Source, is_number

_DOUBT = "it does not answer"
_UNLOADED = "unloaded"
# What callers are told of a model that did not load: the reason itself may hold a traceback, which is for the log.
_UNFIT = "it could not be loaded; the log of the API has the reason, and so has /v2/repository/index for admins"
_USUAL_SECONDS = 0.5
# An answer may take this many times as long as the slowest recent one.
_PATIENCE = 4.0
# A model is asked for a canary after so long without an answer; one that answers it with an error ever less often.
_QUIET_SECONDS = 0.4
_QUIETER = 4.0
_QUIETEST_SECONDS = 600.0
# What is late is doubted; after so many seconds more it will not come.
VERDICT_SECONDS = 3.0


@dataclasses.dataclass(slots=True)
class Entry:
    """One model. `config` is complete; `state` as in RepositoryEntry."""

    source: Source
    config: Mapping[str, Any]
    versions: tuple[int, ...]
    gate: Gate
    state: str = "UNAVAILABLE"
    reason: str = ""
    metadata: ModelMetadata | None = None
    slowest: float = 0.0  # seconds the slowest recent execution took: what a canary must allow
    last_answer: float = 0.0
    ready_since: float = 0.0
    quiet: float = _QUIET_SECONDS

    @property
    def name(self) -> str:
        return self.source.name

    def pick(self, version: str) -> str:
        """The version to run; the newest when the caller names none. Raises InferError 404."""
        if not version:
            return str(self.versions[-1])
        if not is_number(version) or int(version) not in self.versions:
            served = ", ".join(map(str, self.versions))
            raise InferError(404, f"model {self.name!r} has no version {version!r}; it serves {served}", "NOT_FOUND")
        return str(int(version))

    def describe(self) -> ModelMetadata:
        if self.metadata is None:
            self.metadata = model_config.metadata(self.config, self.versions)
        return self.metadata

    @property
    def doubted(self) -> bool:
        return self.reason == _DOUBT

    @property
    def patience(self) -> float:
        """Seconds after which an answer is late."""
        return max(_USUAL_SECONDS, _PATIENCE * self.slowest)

    def doubt(self) -> bool:
        """It is silent: nobody else enters for now. Whether that changes anything."""
        if self.state != "READY" or self.gate.inside:
            return False
        self.state, self.reason = "LOADING", _DOUBT
        self.gate.close()
        return True

    def ready(self) -> None:
        """Its gate opens."""
        self.state, self.reason = "READY", ""
        self.ready_since = self.last_answer = time.monotonic()
        self.gate.open()

    def fail(self, reason: str, told: str = _UNFIT) -> None:
        """It cannot be served: who waits for it, and who comes from now on, is `told` so."""
        self.state, self.reason = "UNAVAILABLE", reason
        self.gate.give_up(errors.not_served(self.name, told))

    def unloaded(self) -> None:
        """An admin wants it to be away until an admin wants it back."""
        self.state, self.reason = "UNAVAILABLE", _UNLOADED
        self.gate.give_up(errors.unloaded(self.name))

    @property
    def is_unloaded(self) -> bool:
        return self.reason == _UNLOADED

    def answered(self, seconds: float) -> None:
        self.last_answer = time.monotonic()
        self.slowest = max(seconds, self.slowest * 0.99)

    @property
    def is_quiet(self) -> bool:
        """Whether it is time for a canary. A busy model is no witness: the canary would only wait behind what runs."""
        return not self.gate.inside and time.monotonic() - self.last_answer > self.quiet

    def sang(self, *, error: bool) -> None:
        """It has answered a canary. An error is a sign of life, too, but leaves its lines in the log each time."""
        self.last_answer = time.monotonic()
        self.quiet = min(_QUIETEST_SECONDS, self.quiet * _QUIETER) if error else _QUIET_SECONDS

    def wonder(self) -> None:
        """A caller got no answer: it is asked soon again."""
        self.quiet = _QUIET_SECONDS

    @property
    def complaint(self) -> str:
        """Of a model that the canary means nothing to, for the log; else empty."""
        if self.quiet == _QUIET_SECONDS:
            return ""
        return (
            f"model {self.name} answers a canary (zeros and empty strings) with an error. That is a sign of life, and "
            'it is asked ever less often; the parameter CORTEX_CANARY: "off" in its config.pbtxt ends it'
        )


class Catalog:
    """All models by name, and the folders that cannot be models."""

    def __init__(self, limit: int) -> None:
        self.bound = Bound(limit)
        self._entries: dict[str, Entry] = {}
        self.opened = False  # whether what is declared is known
        self._broken: dict[str, str] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def get(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def find(self, name: str) -> Entry:
        """Raises InferError: 404 for a name nobody declared, 503 for a model that cannot be served."""
        entry = self._entries.get(name)
        if entry is not None:
            return entry
        if name in self._broken:
            raise InferError(503, f"model {name!r} cannot be served: {self._broken[name]}", "DEPENDENCY_UNAVAILABLE", 1)
        if not self.opened:
            raise refusal(errors.NOT_READY)
        known = ", ".join(sorted(self._entries)) or "none"
        raise InferError(404, f"no model {name!r}; there are: {known}", "NOT_FOUND")

    def make(self, source: Source, config: Mapping[str, Any]) -> Entry:
        """A new model, or an old one with new files; in effect once it is committed. Raises model_config.Invalid."""
        old = self._entries.get(source.name)
        entry = Entry(source, config, source.serving, old.gate if old else Gate(1, self.bound))
        if not entry.versions:
            raise model_config.Invalid(f"the version_policy of {source.name} picks none of its versions")
        return entry

    def commit(self, entry: Entry) -> None:
        self._broken.pop(entry.name, None)
        entry.gate.permits = model_config.permits(entry.config)
        self._entries[entry.name] = entry

    def owns(self, name: str) -> bool:
        return not self.opened or name in self._entries or name in self._broken

    def broke(self, broken: Broken) -> None:
        self._broken[broken.name] = broken.reason

    def remove(self, name: str) -> None:
        self._entries.pop(name, None)
        self._broken.pop(name, None)

    def index(self) -> list[RepositoryEntry]:
        listed = [
            RepositoryEntry(entry.name, str(version), entry.state, entry.reason)
            for entry in self._entries.values()
            for version in entry.versions
        ]
        listed += [RepositoryEntry(name, "", "UNAVAILABLE", reason) for name, reason in self._broken.items()]
        return sorted(listed, key=lambda entry: (entry.name, entry.version))
