"""Identity of revisions: what belongs to their content, its digest, and the id made of number and digest."""

import dataclasses
import hashlib

from services.apiserver import encoding, model
from services.apiserver import spec as specs


def content_digest(spec: specs.ApiSpec) -> str:
    """`sha256:<hex>` over what makes up a revision. Networking, scaling and update strategy belong to the API."""
    content = {
        "kind": spec.kind,
        "predictor": encoding.lean(spec.predictor),
        "compute": encoding.lean(spec.compute),
        "monitoring": encoding.lean(spec.monitoring),
        "bundle_digest": spec.bundle_digest,
    }
    return "sha256:" + hashlib.sha256(encoding.dumps(content).encode()).hexdigest()


def revision_id(number: int, digest: str) -> str:
    """`r3-9f1c2ab4`."""
    return f"r{number}-{digest.removeprefix('sha256:')[:8]}"


def make(
    api: str, spec: specs.ApiSpec, number: int, *, uid: str, now: float, cause: model.RevisionCause
) -> model.Revision:
    digest = content_digest(spec)
    return model.Revision(
        api=api,
        id=revision_id(number, digest),
        uid=uid,
        number=number,
        spec=spec,
        content_digest=digest,
        create_time=now,
        cause=cause,
    )


def with_content(spec: specs.ApiSpec, content: specs.ApiSpec) -> specs.ApiSpec:
    """`spec` with the revision's part taken from `content`: what a rollback makes of an API."""
    return dataclasses.replace(
        spec,
        predictor=content.predictor,
        compute=content.compute,
        monitoring=content.monitoring,
        bundle_digest=content.bundle_digest,
        source=content.source,
        not_in_effect=content.not_in_effect,
    )
