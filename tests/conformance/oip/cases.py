"""What a case is, what was seen, and the verdict on it."""

import dataclasses
import json
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conformance.oip.target import Target


class NotMet(Exception):
    """The server did something else than the case expects; the text says what."""


class NotApplicable(Exception):
    """The model or the server has nothing this case could be tried on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An answer over either transport. `status` is the HTTP status, or the name of the gRPC code."""

    status: "int | str"
    body: bytes = b""
    headers: "dict[str, str]" = dataclasses.field(default_factory=dict)
    message: Any = None
    text: str = ""

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise NotMet(f"the body is no JSON: {self.body[:200]!r}") from None

    def shown(self) -> str:
        return f"{self.status} {self.text or self.body[:300].decode('utf-8', 'replace')}"


Run = Callable[["Target"], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One row. `lethal` ones have killed servers and are run last."""

    id: str
    about: str
    run: Run
    expects: str
    lethal: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """PASS, FAIL, DIFF (a failure that is declared for this kind of server), SKIP."""

    case: Case
    word: str
    told: str = ""
    sent: str = ""


def require(met: bool, told: str) -> None:
    if not met:
        raise NotMet(told)


def expect_status(reply: Reply, allowed: Collection["int | str"]) -> Reply:
    require(
        reply.status in allowed, f"answered {reply.shown()}; expected {' or '.join(map(str, sorted(allowed, key=str)))}"
    )
    return reply


def expect_refusal(reply: Reply, allowed: Collection["int | str"]) -> None:
    """An error that says what is wrong: over HTTP as `{"error": text}`."""
    expect_status(reply, allowed)
    if isinstance(reply.status, int):
        told = reply.json()
        require(isinstance(told, dict) and isinstance(told.get("error"), str), f"no 'error' text in {reply.shown()}")
        require(bool(told["error"]), "the error text is empty")
    else:
        require(bool(reply.text), "the status has no message")
