"""All that the reconciler can do to the world. Closed: the executor matches every one of them.

Each prints itself in one line; those lines are the audit log and the answer of a dry run.
"""

import dataclasses

from services.apiserver import model


@dataclasses.dataclass(frozen=True, slots=True)
class UpdateRecord:
    """Writes `api` where the stored version is still `api.version`; `why` is for people."""

    api: model.Api
    why: str

    def line(self) -> str:
        return f"record {self.api.name}: {self.why}"


@dataclasses.dataclass(frozen=True, slots=True)
class SetRevisionState:
    api: str
    revision: str
    state: model.RevisionState
    reason: model.Reason = model.Reason.UNSPECIFIED
    message: str = ""

    def line(self) -> str:
        because = "" if self.reason is model.Reason.UNSPECIFIED else f" ({self.reason.value})"
        return f"revision {self.revision} becomes {self.state.value}{because}"


@dataclasses.dataclass(frozen=True, slots=True)
class PublishRoute:
    route: model.Route

    def line(self) -> str:
        shares = ", ".join(
            f"{part.weight}% to {part.revision} ({len(part.endpoints)} replicas)" for part in self.route.revisions
        )
        held = ", requests wait for a replica" if self.route.activate else ""
        return f"route {self.route.endpoint}: {shares or 'no revision'}{held}"


@dataclasses.dataclass(frozen=True, slots=True)
class WithdrawRoute:
    api: str

    def line(self) -> str:
        return f"withdraw the route of {self.api}"


@dataclasses.dataclass(frozen=True, slots=True)
class StartReplica:
    api: str
    revision: str
    replica: str

    def line(self) -> str:
        return f"start replica {self.replica} of {self.revision}"


@dataclasses.dataclass(frozen=True, slots=True)
class StopReplica:
    """`replica` is out of every gateway's reach when this is planned; it finishes what it holds within the timeout."""

    api: str
    revision: str
    replica: str
    drain_timeout: float

    def line(self) -> str:
        return f"stop replica {self.replica} of {self.revision}, draining for at most {self.drain_timeout:g} s"


@dataclasses.dataclass(frozen=True, slots=True)
class RecordEvent:
    event: model.Event

    def line(self) -> str:
        first = self.event.message.partition("\n")[0]
        return f"event {self.event.type}: {first}"


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveApi:
    api: str
    uid: str

    def line(self) -> str:
        return f"remove the record of {self.api}"


Effect = SetRevisionState | PublishRoute | WithdrawRoute | StartReplica | StopReplica | RecordEvent | RemoveApi
Action = UpdateRecord | Effect
