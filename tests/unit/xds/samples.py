"""Routes to publish."""

from typing import Any

from services.apiserver import model, spec


def endpoint(number: int) -> model.Endpoint:
    return model.Endpoint(f"replica-{number}", f"127.0.0.1:{20000 + number}", f"127.0.0.1:{21000 + number}")


def route(
    api: str,
    revisions: dict[str, tuple[int, list[int]]],
    *,
    activate: bool = False,
    to_zero: bool = False,
    **networking: Any,
) -> model.Route:
    """`revisions` maps an id to its weight and the numbers of its replicas."""
    parts = tuple(
        model.RevisionRoute(name, weight, tuple(endpoint(number) for number in numbers))
        for name, (weight, numbers) in revisions.items()
    )
    settings = spec.Networking(endpoint=f"/{api}", **networking)
    return model.Route(f"namespaces/default/apis/{api}", f"/{api}", settings, 16, parts, activate, to_zero)
