"""What ends a wait: one pure function."""

import dataclasses

import pytest

from services.autoscaler import activator, model

API = model.Api("namespaces/default/apis/a", "u1", model.Scaling(min_replicas=0), 120.0, 1, 0, 0)
BROKEN = model.Failure("CRASH_LOOP", "exit 1", final=False)
GIVEN_UP = model.Failure("IMPORT_FAILED", "no module", final=True)


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({}, None),
        ({"routable": 1, "ready": 1}, "pass"),
        # Routable and on its way out: wait for the one that is asked for now.
        ({"routable": 1, "ready": 1, "desired": 0}, None),
        ({"failure": BROKEN}, "refuse"),
        # Nobody tried lately.
        ({"failure": BROKEN, "desired": 0}, None),
        ({"failure": GIVEN_UP, "desired": 0}, "refuse"),
        # Something serves, whatever the newest revision does.
        ({"failure": GIVEN_UP, "ready": 1}, None),
        ({"failure": GIVEN_UP, "ready": 1, "routable": 1}, "pass"),
        ({"deleting": True, "routable": 1}, "refuse"),
    ],
)
def test_verdict(changes: dict[str, object], ending: str | None) -> None:
    found = activator.verdict(dataclasses.replace(API, **changes))  # type: ignore[arg-type]
    kinds = {activator.Pass: "pass", activator.Refusal: "refuse", type(None): None}
    assert kinds[type(found)] == ending


def test_an_unknown_api_waits() -> None:
    assert activator.verdict(None) is None
