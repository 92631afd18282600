"""Fills in what the user left out, so that everything behind here reads one complete spec.

`Wish` is what was said, section by section, in the field names of `spec.py`. A value that is wrong is kept as it is:
`validation` looks at the complete spec and names it.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from services.apiserver import spec as specs

DEFAULT_NAMESPACE = "default"
# The ancestor's names of the files that say what to install, by the field of the predictor.
DEPENDENCIES = {"pip": "requirements.txt", "conda": "conda-packages.txt", "shell": "dependencies.sh"}

Section = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """Only what was set is in the sections."""

    kind: str
    bundle_digest: str
    predictor: Section
    networking: Section
    compute: Section = dataclasses.field(default_factory=dict)
    autoscaling: Section = dataclasses.field(default_factory=dict)
    update_strategy: Section = dataclasses.field(default_factory=dict)
    monitoring: Section | None = None
    source: str = ""
    not_in_effect: tuple[str, ...] = ()


def resolve(wish: Wish, *, namespace: str, api_id: str, files: Collection[str]) -> specs.ApiSpec:
    """`files` are the paths inside the bundle."""
    predictor = _predictor(wish.predictor, files)
    return specs.ApiSpec(
        kind=wish.kind,
        predictor=predictor,
        networking=_networking(wish.networking, namespace, api_id),
        compute=specs.Compute(**wish.compute),
        autoscaling=_autoscaling(wish.autoscaling, predictor),
        update_strategy=specs.UpdateStrategy(**wish.update_strategy),
        monitoring=None if wish.monitoring is None else specs.Monitoring(**wish.monitoring),
        bundle_digest=wish.bundle_digest,
        source=wish.source,
        not_in_effect=wish.not_in_effect,
    )


def endpoint(namespace: str, api_id: str) -> str:
    return f"/{api_id}" if namespace == DEFAULT_NAMESPACE else f"/{namespace}/{api_id}"


def in_flight(processes: int, threads: int, batch: int, most: int) -> float:
    """As many requests as a replica can work on at a time, and may hold. `batch` is the size of a batch, 0 without."""
    able = processes * max(threads, batch)
    return float(min(able, most) if most > 0 else able)


def tidy_path(path: str) -> str:
    """`./a//b/` and `a/b` are one path. What leads outside stays visible for the validation."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def _predictor(given: Section, files: Collection[str]) -> specs.Predictor:
    made = specs.Predictor(**{"path": "", **given})
    found: dict[str, Any] = {
        field: tidy_path(getattr(made, field) or (name if name in files else ""))
        for field, name in DEPENDENCIES.items()
    }
    return dataclasses.replace(
        made,
        path=tidy_path(made.path),
        python_path=tidy_path(made.python_path),
        protobuf_path=tidy_path(made.protobuf_path),
        **found,
    )


def _networking(given: Section, namespace: str, api_id: str) -> specs.Networking:
    wanted = given.get("endpoint", "")
    path = "/" + wanted.strip("/") if wanted else endpoint(namespace, api_id)
    return specs.Networking(**{**given, "endpoint": path})


def _autoscaling(given: Section, predictor: specs.Predictor) -> specs.Autoscaling:
    made = specs.Autoscaling(**given)
    processes, threads = predictor.processes_per_replica, predictor.threads_per_process
    batch = predictor.server_side_batching.max_batch_size if predictor.server_side_batching else 0
    able = in_flight(processes, threads, batch, made.max_replica_concurrency)
    return dataclasses.replace(
        made,
        init_replicas=given.get("init_replicas", made.min_replicas),
        target_in_flight=given.get("target_in_flight", able),
    )
